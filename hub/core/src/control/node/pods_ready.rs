//! Pods of a silent node are not ready, so that services leave them out; when the node speaks again, they are what they
//! were. They are never evicted.

use k8s_openapi::api::core::v1::Pod;

use crate::ObjectKey;
use crate::control::draft::Draft;
use crate::control::meta;

/// The reason by which a pod that its node makes unready is known.
pub(super) const NODE_NOT_READY: &str = "NodeNotReady";
pub(super) const NODE_NOT_READY_MESSAGE: &str = "Node is not ready";

/// Brings the condition `Ready` of pods in line with their nodes.
pub(crate) fn sync_pods(draft: &mut Draft<'_>) {
    let mut turns: Vec<(ObjectKey, bool)> = Vec::new();
    for (key, pod) in draft.pods.iter() {
        let Some(node) = meta::node_name(pod) else { continue };
        let ready = meta::is_ready(pod);
        if !ready && !is_held_back(pod) {
            continue;
        }
        let node = draft.nodes.get(&ObjectKey::new("", node));
        let node_ready = node.is_some_and(super::is_node_ready);
        if ready != node_ready {
            turns.push((key.clone(), node_ready));
        }
    }
    let now = draft.now;
    for (key, ready) in turns {
        draft.pods.update(&key, |pod| {
            let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
            let why = (!ready).then_some((NODE_NOT_READY, NODE_NOT_READY_MESSAGE));
            meta::set_condition(conditions, "Ready", ready, why, now);
        });
    }
}

/// Whether nothing but its node keeps a pod from being ready.
fn is_held_back(pod: &Pod) -> bool {
    meta::condition(pod, "Ready").is_some_and(|c| c.reason.as_deref() == Some(NODE_NOT_READY))
        && meta::condition(pod, "ContainersReady").is_some_and(|c| c.status == "True")
}
