//! Reading `metadata`, times and conditions.

use std::collections::BTreeMap;

use gannet_protocols_model::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use crate::{Kind, ObjectKey};

/// The condition of a pod whose device went back to the manifest before.
pub(crate) const ROLLED_BACK: &str = "gannet.dev/RolledBack";

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// The time as Kubernetes stores it: whole seconds.
pub(crate) fn time(at: Timestamp) -> Time {
    let seconds = i64::try_from(at.millis() / 1000).unwrap_or(i64::MAX);
    Time(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX))
}

/// A stored time as a number. What lies before 1970 is 1970.
pub(crate) fn timestamp(time: &Time) -> Timestamp {
    Timestamp::from_millis(u64::try_from(time.0.as_millisecond()).unwrap_or_default())
}

/// When an object was created; 1970 where it does not say.
pub(crate) fn created(meta: &ObjectMeta) -> Timestamp {
    meta.creation_timestamp.as_ref().map_or(Timestamp::default(), timestamp)
}

pub(crate) fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

pub(crate) fn key(meta: &ObjectMeta) -> ObjectKey {
    ObjectKey::new(namespace(meta), name(meta))
}

pub(crate) fn labels(meta: &ObjectMeta) -> &BTreeMap<String, String> {
    meta.labels.as_ref().unwrap_or(&NO_LABELS)
}

pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(crate) fn is_terminating(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

pub(crate) fn has_finalizers(meta: &ObjectMeta) -> bool {
    meta.finalizers.as_ref().is_some_and(|f| !f.is_empty())
}

/// The owner that manages the object, where it has one.
pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.as_ref()?.iter().find(|r| r.controller == Some(true))
}

pub(crate) fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller_of(meta).is_some_and(|r| r.uid == uid)
}

/// The reference with which a dependent names the object that manages it.
pub(crate) fn controller_reference(kind: &Kind, owner: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: kind.api_version(),
        kind: kind.kind.to_owned(),
        name: name(owner).to_owned(),
        uid: uid(owner).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Makes an object the owner's. The reference of a former owner of the same uid is replaced.
pub(crate) fn adopt(meta: &mut ObjectMeta, reference: OwnerReference) {
    let references = meta.owner_references.get_or_insert_default();
    references.retain(|r| r.uid != reference.uid);
    references.push(reference);
}

/// Takes the owner with this uid off an object.
pub(crate) fn release(meta: &mut ObjectMeta, uid: &str) {
    if let Some(references) = &mut meta.owner_references {
        references.retain(|r| r.uid != uid);
        if references.is_empty() {
            meta.owner_references = None;
        }
    }
}

/// Takes a finalizer off an object.
pub(crate) fn drop_finalizer(meta: &mut ObjectMeta, finalizer: &str) {
    if let Some(finalizers) = &mut meta.finalizers {
        finalizers.retain(|f| f != finalizer);
        if finalizers.is_empty() {
            meta.finalizers = None;
        }
    }
}

/// A pod's condition of this type.
pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

/// Sets a pod's condition; the time of its transition moves with its status alone.
pub(crate) fn set_condition(
    conditions: &mut Vec<PodCondition>,
    kind: &str,
    status: bool,
    why: Option<(&str, &str)>,
    now: Timestamp,
) {
    let status = if status { "True" } else { "False" };
    let (reason, message) = why.unzip();
    let at = conditions.iter().position(|c| c.type_ == kind);
    let old = at.map(|at| &conditions[at]);
    let transition = old.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
    let condition = PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        message: message.filter(|m| !m.is_empty()).map(str::to_owned),
        last_transition_time: transition.or_else(|| Some(time(now))),
        last_probe_time: None,
        observed_generation: old.and_then(|c| c.observed_generation),
    };
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Pending")
}

/// Whether a pod has ended for good.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Neither finished nor being deleted: a pod that counts.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(&pod.metadata)
}

/// Whether the pod's condition `Ready` holds.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

/// Since when the pod is ready, if it is.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|c| c.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::default(), timestamp))
}

/// Why the pod's device runs another manifest than the pod's own, if it does. Such a pod may be ready, and serves; but what
/// its owner asked for does not run.
pub(crate) fn rolled_back(pod: &Pod) -> Option<&PodCondition> {
    condition(pod, ROLLED_BACK).filter(|c| c.status == "True")
}

/// Since when the pod is ready with what its owner asked for.
pub(crate) fn fulfilled_since(pod: &Pod) -> Option<Timestamp> {
    ready_since(pod).filter(|_| rolled_back(pod).is_none())
}

/// The node that a pod is bound to.
pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())
}

/// How many there are, as Kubernetes counts.
pub(crate) fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
