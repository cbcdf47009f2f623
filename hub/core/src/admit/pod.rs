//! A pod's spec, of a pod or of a template.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::{Value, json};

use super::at::{At, Errors};
use super::container::Mountable;
use super::{affinity, container, meta, names, volume};
use crate::control::pod_template;

/// Checks a pod's spec.
pub(super) fn spec(spec: &At<'_>, errors: &mut Errors) {
    let volumes = volume::validate(&spec.field("volumes"), errors);
    let mountable = Mountable { volumes };
    let containers = spec.field("containers");
    if containers.items().is_empty() {
        errors.required(&containers, "");
    }
    let mut names = BTreeSet::new();
    for (list, is_init) in [("containers", false), ("initContainers", true)] {
        for item in spec.field(list).items() {
            container::validate(&item, is_init, &mountable, errors);
            let name = item.field("name");
            if !name.text().is_empty() && !names.insert(name.text()) {
                errors.duplicate(&name);
            }
        }
    }
    host_ports(spec, errors);
    errors.required_one_of(&spec.field("restartPolicy"), &["Always", "OnFailure", "Never"]);
    errors.required_one_of(
        &spec.field("dnsPolicy"),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    let grace = spec.field("terminationGracePeriodSeconds");
    errors.in_range(&grace, 0, i64::from(u32::MAX));
    meta::labels(&spec.field("nodeSelector"), errors);
    let hostname = spec.field("hostname");
    if !hostname.text().is_empty() {
        errors.texts(&hostname, names::label(hostname.text()));
    }
    for (field, check) in
        [("nodeName", names::subdomain as fn(&str) -> _), ("serviceAccountName", names::subdomain)]
    {
        let name = spec.field(field);
        if !name.text().is_empty() {
            errors.texts(&name, check(name.text()));
        }
    }
    affinity::node(&spec.fields(&["affinity", "nodeAffinity"]), errors);
    for toleration in spec.field("tolerations").items() {
        self::toleration(&toleration, errors);
    }
    security(&spec.field("securityContext"), errors);
}

/// Two containers cannot have the same port of the node.
fn host_ports(spec: &At<'_>, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    let host_network = spec.field("hostNetwork").is_true();
    for port in spec.field("containers").items().iter().flat_map(|c| c.field("ports").items()) {
        let host = port.field("hostPort");
        let Some(number) = host.int().filter(|n| *n != 0) else { continue };
        if host_network && port.field("containerPort").int() != Some(number) {
            errors.invalid(&port.field("containerPort"), "must match `hostPort` when `hostNetwork` is true");
        }
        let protocol = port.field("protocol").text();
        if !taken.insert((number, protocol)) {
            errors.duplicate_value(&host, json!(format!("{protocol}//{number}")));
        }
    }
}

fn toleration(toleration: &At<'_>, errors: &mut Errors) {
    let (key, operator) = (toleration.field("key"), toleration.field("operator"));
    if !key.text().is_empty() {
        errors.texts(&key, names::qualified(key.text()));
    } else if operator.text() != "Exists" {
        errors.invalid(
            &operator,
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    let value = toleration.field("value");
    match operator.text() {
        "Exists" if !value.text().is_empty() => {
            errors.invalid(&operator, "value must be empty when `operator` is 'Exists'")
        }
        "Exists" => {}
        "" | "Equal" => errors.texts(&value, names::label_value(value.text())),
        _ => errors.one_of(&operator, &["Equal", "Exists"]),
    }
    let effect = toleration.field("effect");
    if !effect.text().is_empty() {
        errors.one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
    if toleration.field("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
        errors.invalid(&effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
}

/// The largest user or group id.
const MAX_ID: i64 = i32::MAX as i64;

/// Ids in the security context of a pod or container.
pub(super) fn security(security: &At<'_>, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        errors.in_range(&security.field(field), 0, MAX_ID);
    }
    for group in security.field("supplementalGroups").items() {
        errors.in_range(&group, 0, MAX_ID);
    }
    let profile = security.field("seccompProfile");
    if profile.is_set() {
        errors.required_one_of(&profile.field("type"), &["Localhost", "RuntimeDefault", "Unconfined"]);
    }
}

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// A pod's spec stays as it is, but for images and further tolerations.
pub(super) fn validate_update(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    for list in ["containers", "initContainers"] {
        if old.field(list).items().len() != new.field(list).items().len() {
            errors.forbidden(&new.field(list), "pod updates may not add or remove containers");
            return;
        }
    }
    let added = new.field("tolerations").items();
    if old.field("tolerations").items().iter().any(|o| !added.iter().any(|n| n.value == o.value)) {
        errors.forbidden(
            &new.field("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
    if fixed(old.value) != fixed(new.value) {
        errors.forbidden(new, UPDATABLE);
    }
}

/// The spec without what may change.
fn fixed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("tolerations");
        for list in ["containers", "initContainers"] {
            for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("image");
                }
            }
        }
    }
    spec
}

/// `status.qosClass` of a spec as it was written: requests follow from limits.
pub(super) fn qos_class(spec: &Value) -> &'static str {
    // What does not decode is refused soon after.
    PodSpec::deserialize(spec).map_or("BestEffort", |spec| pod_template::qos_class(&spec))
}
