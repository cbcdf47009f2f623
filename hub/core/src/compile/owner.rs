//! Who made a pod, and how long a new version of it may take to become ready.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::{ObjectKey, World};

/// Seconds, or a duration as `10m`, in which a new version has to become ready; 0 for as long as it takes.
pub(crate) const PROGRESS_DEADLINE: &str = "gannet.dev/progress-deadline";

/// `progressDeadlineSeconds` of a Deployment that says none.
const DEFAULT_DEADLINE: i32 = 600;

/// The reference to the controller of an object.
pub(super) fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|o| o.controller == Some(true))
}

/// The pod's owner of which all its versions are, as `NAMESPACE/KIND/NAME`.
pub(super) fn name(world: &World, pod: &Pod) -> Option<String> {
    let owner = controller(&pod.metadata)?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    // A ReplicaSet is one version; what made it is the same for all of them.
    let top = made_by(world, namespace, owner).unwrap_or(owner);
    Some(format!("{namespace}/{}/{}", top.kind, top.name))
}

/// The controller of the pod's ReplicaSet.
fn made_by<'a>(world: &'a World, namespace: &str, owner: &OwnerReference) -> Option<&'a OwnerReference> {
    if owner.kind != "ReplicaSet" {
        return None;
    }
    let set = world.replica_sets.get(&ObjectKey::new(namespace, &owner.name))?;
    controller(&set.metadata).filter(|_| set.metadata.uid.as_ref() == Some(&owner.uid))
}

fn deployment<'a>(world: &'a World, pod: &Pod) -> Option<&'a Arc<Deployment>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let top = made_by(world, namespace, controller(&pod.metadata)?)?;
    let found = world.deployments.get(&ObjectKey::new(namespace, &top.name))?;
    (top.kind == "Deployment" && found.metadata.uid.as_ref() == Some(&top.uid)).then_some(found)
}

/// Whether a Deployment of this name made the pod.
pub(super) fn is_of_deployment(world: &World, pod: &Pod, name: &str) -> bool {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let top = controller(&pod.metadata).and_then(|owner| made_by(world, namespace, owner));
    top.is_some_and(|top| top.kind == "Deployment" && top.name == name)
}

/// Whether a ReplicaSet of this name made the pod.
pub(super) fn is_of_set(pod: &Pod, name: &str) -> bool {
    controller(&pod.metadata).is_some_and(|owner| owner.kind == "ReplicaSet" && owner.name == name)
}

/// Seconds in which the pod has to become ready before its node goes back to the version before: those of its
/// annotation, else those of its Deployment.
pub(super) fn progress_deadline(world: &World, pod: &Pod) -> Option<u32> {
    let annotation = pod.metadata.annotations.as_ref().and_then(|a| a.get(PROGRESS_DEADLINE));
    if let Some(own) = annotation.and_then(|text| parse_deadline(text)) {
        return (own > 0).then_some(own);
    }
    of_deployment(deployment(world, pod)?)
}

/// `progressDeadlineSeconds`; Kubernetes' largest number stands for none.
pub(super) fn of_deployment(deployment: &Deployment) -> Option<u32> {
    let seconds = deployment.spec.progress_deadline_seconds;
    let seconds = seconds.unwrap_or(DEFAULT_DEADLINE);
    u32::try_from(seconds).ok().filter(|_| seconds > 0 && seconds != i32::MAX)
}

/// Whole seconds of `600`, `90s`, `1h30m`, rounded up.
pub(crate) fn parse_deadline(text: &str) -> Option<u32> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    u32::try_from(go_duration(text)?.div_ceil(1_000_000_000)).ok()
}

/// Units of Go's durations in nanoseconds; of two that begin alike the longer comes first.
const UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Longer numbers mean nothing.
const MAX_DIGITS: usize = 18;

fn go_duration(text: &str) -> Option<u128> {
    let mut rest = (!text.is_empty()).then_some(text)?;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.len() > MAX_DIGITS {
            return None;
        }
        let (unit, size) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        // No digits at all, or a second point, does not parse.
        nanos = nanos.checked_add(digits.parse::<u128>().ok()?.checked_mul(*size)? / scale)?;
        rest = &after[unit.len()..];
    }
    Some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines() {
        for (text, seconds) in [
            ("600", Some(600)),
            ("0", Some(0)),
            ("10m", Some(600)),
            ("1h30m", Some(5400)),
            ("1.5m", Some(90)),
            ("1500ms", Some(2)),
            ("2us", Some(1)),
            ("", None),
            ("-5s", None),
            ("5", Some(5)),
            ("5 s", None),
            ("m", None),
            (".s", None),
            ("1.2.3s", None),
            ("5d", None),
            ("4294967296", None),
            ("9999999999h", None),
            ("1h30", None),
        ] {
            assert_eq!(parse_deadline(text), seconds, "{text}");
        }
    }
}
