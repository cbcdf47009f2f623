//! Annotations of a pod or of a template that mean something.

use serde_json::json;

use crate::admit::at::{At, Errors};
use crate::compile::{APPARMOR_ANNOTATION, PROGRESS_DEADLINE, parse_deadline};

/// Checks the annotations of this metadata for the pod of this spec.
pub(in crate::admit) fn validate(meta: &At<'_>, spec: &At<'_>, errors: &mut Errors) {
    for (key, value) in meta.field("annotations").entries() {
        if let Some(container) = key.strip_prefix(APPARMOR_ANNOTATION) {
            apparmor(&value, container, spec, errors);
        } else if key == PROGRESS_DEADLINE && parse_deadline(value.text()).is_none() {
            errors.invalid(&value, "must be a number of seconds, or a duration such as \"10m\"");
        }
    }
}

/// The profile must be one, of a container that there is, and the same as in the container's own field.
fn apparmor(annotation: &At<'_>, container: &str, spec: &At<'_>, errors: &mut Errors) {
    let profile = annotation.text();
    if !["", "runtime/default", "unconfined"].contains(&profile) && !profile.starts_with("localhost/") {
        errors.invalid(annotation, &format!("invalid AppArmor profile name: {profile:?}"));
    }
    let lists = ["containers", "initContainers"].map(|list| spec.field(list).items());
    let Some(found) = lists.iter().flatten().find(|c| c.field("name").text() == container) else {
        errors.invalid_value(annotation, json!(container), "container not found");
        return;
    };
    let own = found.fields(&["securityContext", "appArmorProfile"]);
    let said = match own.field("type").text() {
        "Unconfined" => "unconfined",
        "RuntimeDefault" => "runtime/default",
        "Localhost" => match profile.strip_prefix("localhost/") {
            Some(name) if name != own.field("localhostProfile").text() => {
                let detail = "apparmor profile in annotation and field must match";
                errors.forbidden(&own.field("localhostProfile"), detail);
                return;
            }
            Some(_) => return,
            None => "localhost/",
        },
        _ => return,
    };
    if said != profile {
        errors.forbidden(&own.field("type"), "apparmor type in annotation and field must match");
    }
}

/// A pod that is there keeps its AppArmor profiles.
pub(in crate::admit) fn validate_update(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    let (before, after) = (old.field("annotations"), new.field("annotations"));
    let profiles = |at: &At<'_>, key: &str| at.value.get(key).cloned();
    for (key, _) in before.entries().into_iter().filter(|(k, _)| k.starts_with(APPARMOR_ANNOTATION)) {
        if profiles(&before, key) != profiles(&after, key) {
            errors.forbidden(&after.key(key), "may not remove or update AppArmor annotations");
        }
    }
    for (key, value) in after.entries().into_iter().filter(|(k, _)| k.starts_with(APPARMOR_ANNOTATION)) {
        if profiles(&before, key).is_none() {
            errors.forbidden(&value, "may not add AppArmor annotations");
        }
    }
}

/// Annotations that a field has taken the place of.
pub(in crate::admit) fn warnings(meta: &At<'_>, warnings: &mut Vec<String>) {
    for (key, value) in meta.field("annotations").entries() {
        if key.starts_with(APPARMOR_ANNOTATION) && value.is_set() {
            warnings.push(format!(
                "{}: deprecated since v1.30; use the \"appArmorProfile\" field instead",
                value.path
            ));
        }
    }
}
