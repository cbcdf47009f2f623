//! What nodes do to the world: they register, come and go, and report their pods. The shell calls these functions when a
//! node speaks or falls silent; only [`sync_pods`] is part of a turn.

mod conditions;
mod containers;
mod life;
mod pods_ready;
mod pressure;
mod register;
mod report;
mod status;

pub use life::{node_down, node_up};
pub(crate) use pods_ready::{are_gates_open, sync_pods};
pub use register::node_registered;
pub use report::{apply_report, node_event, pod_removed, pods_gone};

use k8s_openapi::api::core::v1::Node;

/// The condition `Ready` of a node: `True`, `False` or `Unknown`.
pub(crate) fn readiness(node: &Node) -> &str {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().find(|c| c.type_ == "Ready").map_or("Unknown", |c| c.status.as_str())
}

/// Whether a node says that it can run pods.
pub(crate) fn is_node_ready(node: &Node) -> bool {
    readiness(node) == "True"
}

/// The address at which a node's services are reached.
pub(crate) fn internal_ip(node: &Node) -> Option<&str> {
    let mut addresses = node.status.iter().flat_map(|s| s.addresses.iter().flatten());
    addresses.find(|a| a.type_ == "InternalIP").map(|a| a.address.as_str())
}
