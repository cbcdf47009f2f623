//! Objects on the path of an alias, for `kubectl apply`.
//!
//! kubectl has no built-in type for `v1` Deployment, so it compares lists as a whole: a container that the hub filled up
//! with defaults differs from the container in the file for ever, and every apply of an unchanged file would say
//! "configured". So an object that was applied is shown as it was written, as long as that means what is stored.

use gannet_hub_objects::{Objects, meta};
use serde_json::Value;

use crate::route::Served;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object with the spec that was applied, if filling it up gives the spec that is stored; else as it is.
pub(crate) fn as_written(objects: &Objects, served: Served, object: Value) -> Value {
    if !served.alias {
        return object;
    }
    let applied: Option<Value> =
        serde_json::from_str(meta::text(&object, &["metadata", "annotations", LAST_APPLIED])).ok();
    let Some(spec) = applied.and_then(|mut applied| applied.get_mut("spec").map(Value::take)) else {
        return object;
    };
    let mut written = object.clone();
    written["spec"] = spec;
    if objects.is_same_when_filled(served.kind, &object, &written) { written } else { object }
}
