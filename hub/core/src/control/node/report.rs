//! A node reports its pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use gannet_protocols_model::{EventKind, NodeEvent, NodeName, PodStatus, PodUid, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::status;
use crate::control::meta;
use crate::{Change, Kind, ObjectKey, Precondition, World, compile};

const COMPONENT: &str = "gannet-agent";

/// Writes what a node sees of one pod into the pod's status. Nothing where it is known, where the pod is not that
/// node's, and where the pod has ended before: what has ended does not begin again.
pub fn apply_report(world: &World, node: &NodeName, report: &PodStatus, now: Timestamp) -> Option<Change> {
    let pod = world.pods.get(&ObjectKey::new(&report.namespace, &report.name))?;
    if meta::uid(&pod.metadata) != report.uid.as_str() || meta::node_name(pod) != Some(node.as_str()) {
        return None;
    }
    if meta::is_finished(pod) && status::phase(report.phase) != meta::phase(pod) {
        return None;
    }
    let host = world.nodes.get(&ObjectKey::new("", node.as_str()));
    let own = compile::manifest_of(world, pod);
    let failed = report.rolled_back.as_ref().map(|rolled_back| rolled_back.failed);
    let current = own.is_some() && (own == Some(report.manifest) || own == failed);
    let new = status::status(pod, report, current, host.map(Arc::as_ref), now);
    if pod.status.as_ref() == Some(&new) {
        return None;
    }
    let pod = Pod { status: Some(new), ..pod.as_ref().clone() };
    // Typed objects of strings, numbers and maps always serialize.
    Some(Change::Update { kind: Kind::POD, object: serde_json::to_value(pod).ok()? })
}

/// Nothing of a pod is left on its node. Only a pod that is being deleted goes; the node will start any other again.
pub fn pod_removed(world: &World, node: &NodeName, uid: &PodUid) -> Option<Change> {
    let (key, pod) = find(world, uid)?;
    (meta::node_name(pod) == Some(node.as_str())).then(|| farewell(key, pod)).flatten()
}

/// The pods of a node that are being deleted and that a whole report does not list.
///
/// To be called only for a report on the newest generation that the node was sent: a node that is behind may yet start
/// a pod that it does not list.
pub fn pods_gone(world: &World, node: &NodeName, listed: &BTreeSet<PodUid>) -> Vec<Change> {
    let mine = world.pods.iter().filter(|(_, pod)| meta::node_name(pod) == Some(node.as_str()));
    mine.filter(|(_, pod)| !listed.iter().any(|uid| uid.as_str() == meta::uid(&pod.metadata)))
        .filter_map(|(key, pod)| farewell(key, pod))
        .collect()
}

/// The event that a node has told of, with the time at which it saw it; `None` where it is about a pod that does not exist any more, or not there.
pub fn node_event(world: &World, node: &NodeName, event: &NodeEvent) -> Option<Change> {
    let warning = event.kind == EventKind::Warning;
    let (reason, message) = (event.reason.clone(), event.message.clone());
    let (component, at) = (COMPONENT, Some(event.at));
    let Some(uid) = &event.pod else {
        // As kubelet does it, the node's name stands for its uid.
        let (key, uid) = (ObjectKey::new("", node.as_str()), node.to_string());
        return Some(Change::Event { kind: Kind::NODE, key, uid, warning, reason, message, component, at });
    };
    let (key, pod) = find(world, uid)?;
    if meta::node_name(pod) != Some(node.as_str()) {
        return None;
    }
    let (key, uid) = (key.clone(), uid.to_string());
    Some(Change::Event { kind: Kind::POD, key, uid, warning, reason, message, component, at })
}

fn find<'a>(world: &'a World, uid: &PodUid) -> Option<(&'a ObjectKey, &'a Arc<Pod>)> {
    world.pods.iter().find(|(_, pod)| meta::uid(&pod.metadata) == uid.as_str())
}

/// The end of a pod that is being deleted. One with finalizers stays until they are gone, with no time left.
fn farewell(key: &ObjectKey, pod: &Pod) -> Option<Change> {
    if !meta::is_terminating(&pod.metadata) {
        return None;
    }
    if meta::has_finalizers(&pod.metadata) {
        if pod.metadata.deletion_grace_period_seconds == Some(0) {
            return None;
        }
        let mut pod = pod.clone();
        pod.metadata.deletion_grace_period_seconds = Some(0);
        return Some(Change::Update { kind: Kind::POD, object: serde_json::to_value(pod).ok()? });
    }
    let precondition = Precondition { uid: pod.metadata.uid.clone(), resource_version: None };
    Some(Change::Remove { kind: Kind::POD, key: key.clone(), precondition })
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;
