//! The subresource `resize`: other amounts of cpu and memory for the containers of a pod that runs.

use serde_json::{Map, Value};

use super::spec::qos_class;
use super::update::each;
use crate::admit::at::{At, Errors};

/// What a resize takes from a client's object: the resources of the containers, by their place. All else stays.
pub(in crate::admit) fn take(old: &Value, new: &Value) -> Value {
    let mut pod = old.clone();
    for list in ["containers", "initContainers"] {
        let place = format!("/spec/{list}");
        let asked = new.pointer(&place).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let Some(own) = pod.pointer_mut(&place).and_then(Value::as_array_mut) else { continue };
        if names(own) != names(asked) {
            // Other containers are no resize: the check after this one says so.
            *own = asked.to_vec();
            continue;
        }
        for (own, asked) in own.iter_mut().zip(asked) {
            let Some(own) = own.as_object_mut() else { continue };
            for field in ["resources", "resizePolicy"] {
                match asked.get(field).filter(|v| !v.is_null()) {
                    Some(value) => own.insert(field.to_owned(), value.clone()),
                    None => own.remove(field),
                };
            }
        }
    }
    pod
}

fn names(containers: &[Value]) -> Vec<Option<&Value>> {
    containers.iter().map(|c| c.get("name")).collect()
}

const MAIN: &str = "only cpu and memory resources are mutable";
const SIDECAR: &str = "only cpu and memory resources for sidecar containers are mutable";
const INIT: &str = "resources for non-sidecar init containers are immutable";

/// Only cpu and memory may change, none of them go away, and the pod stays in its class.
pub(in crate::admit) fn validate(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    let class = qos_class(old.value);
    if class != qos_class(new.value) {
        errors.invalid_value(new, class, "Pod QOS Class may not change as a result of resizing");
    }
    for list in ["initContainers", "containers"] {
        let (before, after) = (old.field(list).items(), new.field(list).items());
        if before.len() != after.len() {
            errors.forbidden(new, MAIN);
            return;
        }
        for (before, after) in before.iter().zip(&after) {
            let words = match (list, before.field("restartPolicy").text()) {
                ("containers", _) => MAIN,
                (_, "Always") => SIDECAR,
                _ if before.value != after.value => {
                    errors.forbidden(new, INIT);
                    continue;
                }
                _ => continue,
            };
            removed(before, after, errors);
            if without_cpu_and_memory(before.value) != without_cpu_and_memory(after.value) {
                errors.forbidden(new, words);
            }
        }
    }
}

fn removed(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    for (list, words) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        let (before, after) = (old.fields(&["resources", list]), new.fields(&["resources", list]));
        if before.entries().iter().any(|(name, _)| !after.key(name).is_set()) {
            errors.forbidden(&after, words);
        }
    }
}

fn without_cpu_and_memory(container: &Value) -> Value {
    let mut list = Map::from_iter([("c".to_owned(), Value::Array(vec![container.clone()]))]);
    each(&mut list, "c", |container| {
        let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) else { return };
        for list in ["requests", "limits"] {
            if let Some(amounts) = resources.get_mut(list).and_then(Value::as_object_mut) {
                amounts.retain(|name, _| name != "cpu" && name != "memory");
                if amounts.is_empty() {
                    resources.remove(list);
                }
            }
        }
        if resources.is_empty() {
            container.remove("resources");
        }
    });
    Value::Object(list)
}
