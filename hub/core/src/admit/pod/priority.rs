//! Which pods are more important than others.

use serde_json::{Map, Value};

use crate::admit::error::Rejected;

/// The classes that every cluster has.
const BUILT_IN: &[(&str, i32)] =
    &[("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// The priority of a class; 0 without one.
pub(crate) fn of_class(name: &str) -> Option<i32> {
    if name.is_empty() {
        return Some(0);
    }
    BUILT_IN.iter().find(|(class, _)| *class == name).map(|(_, priority)| *priority)
}

/// A new pod's class must exist, and its priority is that of its class.
pub(in crate::admit) fn admit(pod: &Map<String, Value>) -> Result<(), Rejected> {
    let field = |name: &str| pod.get("spec").and_then(|s| s.get(name));
    let class = field("priorityClassName").and_then(Value::as_str).unwrap_or_default();
    let Some(computed) = of_class(class) else {
        return Err(Rejected::Forbidden(format!("no PriorityClass with name {class} was found")));
    };
    match field("priority").and_then(Value::as_i64) {
        Some(given) if given != i64::from(computed) => Err(Rejected::Forbidden(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {computed} from the given PriorityClass name"
        ))),
        _ => Ok(()),
    }
}
