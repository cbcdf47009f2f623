//! Variables of a container.

use super::field;
use crate::admit::at::{At, Errors};
use crate::admit::names;

/// Checks `env` and `envFrom`.
pub(super) fn validate(container: &At<'_>, errors: &mut Errors) {
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
    if from.field("fieldRef").is_set() {
        field::of_pod(&from.field("fieldRef"), field::IN_ENVIRONMENT, errors);
    }
    if from.field("resourceFieldRef").is_set() {
        field::of_container(&from.field("resourceFieldRef"), false, errors);
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
