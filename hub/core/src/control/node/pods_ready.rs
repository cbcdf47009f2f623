//! Whether a pod counts as ready: its containers are, its readiness gates are open, and its node speaks.
//!
//! Pods of a silent node are not ready, so that services leave them out; when the node speaks again, they are what they
//! were. They are never evicted.

use gannet_protocols_model::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use crate::ObjectKey;
use crate::control::draft::Draft;
use crate::control::meta;

/// Ready, or why not: the reason and the message.
pub(super) type Verdict = Result<(), (&'static str, String)>;

/// Of a pod whose containers are ready: whether it is ready itself.
pub(super) fn verdict(pod: &Pod, node_ready: bool) -> Verdict {
    let closed = closed_gates(pod);
    if !closed.is_empty() {
        return Err(("ReadinessGatesNotReady", closed.join(", ")));
    }
    if node_ready { Ok(()) } else { Err(("NodeNotReady", "Node is not ready".to_owned())) }
}

/// Whether nobody's readiness gate keeps a pod from being used.
pub(crate) fn are_gates_open(pod: &Pod) -> bool {
    closed_gates(pod).is_empty()
}

/// What is said of each gate that is closed.
fn closed_gates(pod: &Pod) -> Vec<String> {
    let gates = pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    let closed = gates.filter_map(|gate| {
        let gate = &gate.condition_type;
        match meta::condition(pod, gate) {
            None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
            Some(c) if c.status == "True" => None,
            Some(c) => {
                Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {}", c.status))
            }
        }
    });
    closed.collect()
}

/// Sets the condition `Ready`.
pub(super) fn set_ready(conditions: &mut Vec<PodCondition>, verdict: &Verdict, now: Timestamp) {
    let why = verdict.as_ref().err().map(|(reason, message)| (*reason, message.as_str()));
    meta::set_condition(conditions, "Ready", why.is_none(), why, now);
}

/// Brings the condition `Ready` of pods in line with their gates and their nodes.
pub(crate) fn sync_pods(draft: &mut Draft<'_>) {
    let mut turns: Vec<(ObjectKey, Verdict)> = Vec::new();
    for (key, pod) in draft.pods.iter() {
        let Some(node) = meta::node_name(pod) else { continue };
        let containers_ready = meta::condition(pod, "ContainersReady").is_some_and(|c| c.status == "True");
        if !containers_ready && !meta::is_ready(pod) {
            continue;
        }
        let node = draft.nodes.get(&ObjectKey::new("", node));
        let verdict = verdict(pod, node.is_some_and(super::is_node_ready));
        if !says(pod, &verdict) {
            turns.push((key.clone(), verdict));
        }
    }
    let now = draft.now;
    for (key, verdict) in turns {
        draft.pods.update(&key, |pod| {
            let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
            set_ready(conditions, &verdict, now);
        });
    }
}

/// Whether the condition says this already.
fn says(pod: &Pod, verdict: &Verdict) -> bool {
    meta::condition(pod, "Ready").is_some_and(|ready| match verdict {
        Ok(()) => ready.status == "True",
        Err((reason, message)) => {
            ready.status == "False"
                && ready.reason.as_deref() == Some(*reason)
                && ready.message.as_deref() == Some(message.as_str())
        }
    })
}

#[cfg(test)]
#[path = "pods_ready_test.rs"]
mod tests;
