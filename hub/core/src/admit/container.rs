//! One container of a pod.

use std::collections::BTreeSet;

use super::at::{At, Errors};
use super::{names, pod, probe, resources};

/// What a container may refer to.
#[derive(Debug)]
pub(super) struct Mountable<'a> {
    /// Names of the pod's volumes.
    pub(super) volumes: BTreeSet<&'a str>,
}

/// Checks a container.
pub(super) fn validate(container: &At<'_>, is_init: bool, mountable: &Mountable<'_>, errors: &mut Errors) {
    let name = container.field("name");
    if name.text().is_empty() {
        errors.required(&name, "");
    } else {
        errors.texts(&name, names::label(name.text()));
    }
    let image = container.field("image");
    if image.text().is_empty() {
        errors.required(&image, "");
    } else if image.text().trim() != image.text() {
        errors.invalid(&image, "must not have leading or trailing whitespace");
    }
    errors.required_one_of(&container.field("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    errors.one_of(&container.field("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    ports(&container.field("ports"), errors);
    environment(container, errors);
    mounts(&container.field("volumeMounts"), mountable, errors);
    resources::validate(&container.field("resources"), errors);
    for (field, once) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
        let probe = container.field(field);
        if probe.is_set() && is_init {
            errors.forbidden(&probe, "may not be set for init containers without restartPolicy=Always");
        } else if probe.is_set() {
            probe::validate(&probe, once, errors);
        }
    }
    let security = container.field("securityContext");
    pod::security(&security, errors);
    if security.field("privileged").is_true() && security.field("allowPrivilegeEscalation").value == false {
        errors.invalid(&security, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
}

fn ports(ports: &At<'_>, errors: &mut Errors) {
    let mut used = BTreeSet::new();
    for port in ports.items() {
        let name = port.field("name");
        if !name.text().is_empty() {
            errors.texts(&name, names::port_name(name.text()));
            if !used.insert(name.text()) {
                errors.duplicate(&name);
            }
        }
        let number = port.field("containerPort");
        if number.int().unwrap_or(0) == 0 {
            errors.required(&number, "");
        } else {
            errors.in_range(&number, 1, 65535);
        }
        if port.field("hostPort").int() != Some(0) {
            errors.in_range(&port.field("hostPort"), 1, 65535);
        }
        errors.required_one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

/// Fields of a pod that a variable may be made from.
const FIELD_PATHS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn environment(container: &At<'_>, errors: &mut Errors) {
    for variable in container.field("env").items() {
        let name = variable.field("name");
        if name.text().is_empty() {
            errors.required(&name, "");
        } else {
            errors.texts(&name, names::env_name(name.text()));
        }
        value_from(&variable, errors);
    }
    for source in container.field("envFrom").items() {
        let prefix = source.field("prefix");
        if !prefix.text().is_empty() {
            errors.texts(&prefix, names::env_name(prefix.text()));
        }
        let set: Vec<At<'_>> =
            ["configMapRef", "secretRef"].iter().map(|f| source.field(f)).filter(At::is_set).collect();
        match set.as_slice() {
            [] => errors.invalid_value(&source, "", "must specify one of: `configMapRef` or `secretRef`"),
            [one] => object_name(&one.field("name"), errors),
            _ => errors.invalid_value(&source, "", "may not have more than one field specified at a time"),
        }
    }
}

fn value_from(variable: &At<'_>, errors: &mut Errors) {
    let from = variable.field("valueFrom");
    if !from.is_set() {
        return;
    }
    let set: Vec<At<'_>> = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"]
        .iter()
        .map(|f| from.field(f))
        .filter(At::is_set)
        .collect();
    if set.is_empty() {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.invalid_value(&from, "", detail);
    } else if !variable.field("value").text().is_empty() {
        errors.invalid_value(&from, "", "may not be specified when `value` is not empty");
    } else if set.len() > 1 {
        errors.invalid_value(&from, "", "may not have more than one field specified at a time");
    }
    let field = from.field("fieldRef");
    if field.is_set() {
        let path = field.field("fieldPath");
        let keyed = |of: &str| {
            path.text()
                .strip_prefix(of)
                .is_some_and(|k| k.starts_with("['") && k.ends_with("']") && k.len() > 4)
        };
        if path.text().is_empty() {
            errors.required(&path, "");
        } else if !keyed("metadata.labels") && !keyed("metadata.annotations") {
            errors.one_of(&path, FIELD_PATHS);
        }
    }
    for reference in [from.field("configMapKeyRef"), from.field("secretKeyRef")] {
        if reference.is_set() {
            object_name(&reference.field("name"), errors);
            let key = reference.field("key");
            if key.text().is_empty() {
                errors.required(&key, "");
            } else {
                errors.texts(&key, names::config_key(key.text()));
            }
        }
    }
}

fn object_name(name: &At<'_>, errors: &mut Errors) {
    if name.text().is_empty() {
        errors.required(name, "");
    } else {
        errors.texts(name, names::subdomain(name.text()));
    }
}

fn mounts(mounts: &At<'_>, mountable: &Mountable<'_>, errors: &mut Errors) {
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        let (name, path, sub_path) = (mount.field("name"), mount.field("mountPath"), mount.field("subPath"));
        if name.text().is_empty() {
            errors.required(&name, "");
        } else if !mountable.volumes.contains(name.text()) {
            errors.not_found(&name);
        }
        if path.text().is_empty() {
            errors.required(&path, "");
        } else if !paths.insert(path.text()) {
            errors.invalid(&path, "must be unique");
        }
        if sub_path.text().starts_with('/') {
            errors.invalid(&sub_path, "must be a relative path");
        } else if has_parent(sub_path.text()) {
            errors.invalid(&sub_path, "must not contain '..'");
        }
    }
}

/// Whether a path leads upwards somewhere.
pub(super) fn has_parent(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}
