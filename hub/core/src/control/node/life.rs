//! A node comes and goes.

use gannet_protocols_model::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition};

use super::pressure;
use crate::control::meta;
use crate::{Change, Kind, ObjectKey};

const COMPONENT: &str = "node-controller";

/// Keeps new pods from a node that does not speak. Nothing is ever evicted from it: its pods may well run.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The node speaks again. Nothing where that is known.
pub fn node_up(node: &Node, now: Timestamp) -> Vec<Change> {
    let mut new = node.clone();
    if !mark_up(&mut new, now) {
        return Vec::new();
    }
    let mut changes = update(&new);
    changes.push(status_is_now(meta::name(&node.metadata), "NodeReady"));
    changes
}

/// The node has fallen silent: its agent is gone, or the way to it. `why` is a sentence such as `the agent stopped
/// reporting`. Nothing where that is known.
pub fn node_down(node: &Node, why: &str, now: Timestamp) -> Vec<Change> {
    if super::readiness(node) == "Unknown" && condition(node, "Ready").is_some() {
        return Vec::new();
    }
    let mut new = node.clone();
    set_ready(&mut new, "Unknown", "NodeStatusUnknown", why, now);
    pressure::set_taint(&mut new, UNREACHABLE, true, now);
    let mut changes = update(&new);
    changes.push(status_is_now(meta::name(&node.metadata), "NodeNotReady"));
    changes
}

/// Notes that the node speaks; whether that is news.
pub(super) fn mark_up(node: &mut Node, now: Timestamp) -> bool {
    pressure::set_taint(node, UNREACHABLE, false, now);
    if super::is_node_ready(node) {
        return false;
    }
    set_ready(node, "True", "AgentReady", "agent is posting ready status", now);
    true
}

/// A node's condition of this type.
pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn set_ready(node: &mut Node, status: &str, reason: &str, message: &str, now: Timestamp) {
    set_condition(node, "Ready", status, reason, message, now);
}

/// Sets a condition. The time of the last heartbeat moves with the rest alone: heartbeats are not stored.
pub(super) fn set_condition(
    node: &mut Node,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    let at = conditions.iter().position(|c| c.type_ == kind);
    let old = at.map(|at| &conditions[at]);
    let same = |c: &&NodeCondition| {
        c.status == status && c.reason.as_deref() == Some(reason) && c.message.as_deref() == Some(message)
    };
    if old.filter(same).is_some() {
        return;
    }
    let transition = old.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
    let condition = NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(meta::time(now)),
        last_transition_time: transition.or_else(|| Some(meta::time(now))),
    };
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

fn update(node: &Node) -> Vec<Change> {
    // Typed objects of strings, numbers and maps always serialize.
    let object = serde_json::to_value(node).ok();
    object.map(|object| Change::Update { kind: Kind::NODE, object }).into_iter().collect()
}

/// The event of a change of a node's status, in the words of Kubernetes.
pub(super) fn status_is_now(name: &str, news: &str) -> Change {
    event(name, news, format!("Node {name} status is now: {news}"))
}

/// An event about a node. As kubelet does it, the node's name stands for its uid: that is where `kubectl describe node`
/// looks.
pub(super) fn event(name: &str, reason: &str, message: String) -> Change {
    Change::Event {
        kind: Kind::NODE,
        key: ObjectKey::new("", name),
        uid: name.to_owned(),
        warning: false,
        reason: reason.to_owned(),
        message,
        component: COMPONENT,
        at: None,
    }
}

#[cfg(test)]
#[path = "life_test.rs"]
mod tests;
