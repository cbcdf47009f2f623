//! What may change in the spec of a pod that is there.

use serde_json::{Map, Value};

use crate::admit::at::{At, Errors};

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// A pod's spec stays as it is, but for images, an earlier deadline, and further tolerations.
pub(in crate::admit) fn validate(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    for list in ["containers", "initContainers"] {
        if old.field(list).items().len() != new.field(list).items().len() {
            errors.forbidden(&new.field(list), "pod updates may not add or remove containers");
            return;
        }
    }
    let (before, after) = (old.field("activeDeadlineSeconds"), new.field("activeDeadlineSeconds"));
    match (before.int(), after.int()) {
        (Some(before), Some(now)) if now > before => {
            errors.invalid(&after, "must be less than or equal to previous value");
        }
        (Some(_), None) => errors.invalid(&after, "must not update from a positive integer to nil value"),
        _ => {}
    }
    tolerations(old, new, errors);
    if fixed(old.value) != fixed(new.value) {
        errors.forbidden(new, UPDATABLE);
    }
}

fn tolerations(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    let kept = |toleration: &At<'_>| {
        let mut toleration = toleration.value.clone();
        toleration.as_object_mut().and_then(|t| t.remove("tolerationSeconds"));
        toleration
    };
    let now: Vec<Value> = new.field("tolerations").items().iter().map(kept).collect();
    if old.field("tolerations").items().iter().any(|t| !now.contains(&kept(t))) {
        errors.forbidden(
            &new.field("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        );
    }
}

/// The spec without what may change.
fn fixed(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("tolerations");
        fields.remove("activeDeadlineSeconds");
        for list in ["containers", "initContainers"] {
            each(fields, list, |container| {
                container.remove("image");
            });
        }
    }
    spec
}

/// Does something to each container of a list.
pub(super) fn each(spec: &mut Map<String, Value>, list: &str, act: impl Fn(&mut Map<String, Value>)) {
    let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    containers.filter_map(Value::as_object_mut).for_each(act);
}
