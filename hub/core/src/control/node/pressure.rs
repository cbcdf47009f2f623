//! What a node runs short of: its conditions, and the taints that keep pods away.

use std::collections::BTreeSet;

use gannet_protocols_model::{NodeInfo, Timestamp};
use k8s_openapi::api::core::v1::{Node, Taint};

use super::life;
use crate::control::meta;

/// One thing that a node may run short of, in the words of Kubernetes.
struct Pressure {
    condition: &'static str,
    /// Why it does not hold, where a node does not say.
    reason: &'static str,
    message: &'static str,
    taint: &'static str,
    /// The event of its beginning.
    begins: &'static str,
    /// The event of its end.
    ends: &'static str,
}

/// The pressures that a node always states.
const PRESSURES: [Pressure; 3] = [
    Pressure {
        condition: "MemoryPressure",
        reason: "KubeletHasSufficientMemory",
        message: "kubelet has sufficient memory available",
        taint: "node.kubernetes.io/memory-pressure",
        begins: "NodeHasInsufficientMemory",
        ends: "NodeHasSufficientMemory",
    },
    Pressure {
        condition: "DiskPressure",
        reason: "KubeletHasNoDiskPressure",
        message: "kubelet has no disk pressure",
        taint: "node.kubernetes.io/disk-pressure",
        begins: "NodeHasDiskPressure",
        ends: "NodeHasNoDiskPressure",
    },
    Pressure {
        condition: "PIDPressure",
        reason: "KubeletHasSufficientPID",
        message: "kubelet has sufficient PID available",
        taint: "node.kubernetes.io/pid-pressure",
        begins: "NodeHasInsufficientPID",
        ends: "NodeHasSufficientPID",
    },
];

/// Sets the conditions that the node states, and the taints that follow from them. One that it no longer states is gone.
/// Returns the pressures that began or ended, as events name them.
pub(super) fn set_conditions(node: &mut Node, info: &NodeInfo, now: Timestamp) -> Vec<&'static str> {
    let mut stated = BTreeSet::from(["Ready"]);
    let mut news = Vec::new();
    for pressure in &PRESSURES {
        stated.insert(pressure.condition);
        let said = info.conditions.iter().find(|c| c.kind == pressure.condition);
        let holds = said.is_some_and(|c| c.holds);
        let held = life::condition(node, pressure.condition).is_some_and(|c| c.status == "True");
        if holds != held {
            news.push(if holds { pressure.begins } else { pressure.ends });
        }
        set_taint(node, pressure.taint, holds, now);
        let (reason, message) =
            said.map_or((pressure.reason, pressure.message), |c| (c.reason.as_str(), c.message.as_str()));
        set_condition(node, pressure.condition, holds, reason, message, now);
    }
    for condition in info.conditions.iter().filter(|c| !stated.contains(c.kind.as_str())) {
        set_condition(node, &condition.kind, condition.holds, &condition.reason, &condition.message, now);
    }
    stated.extend(info.conditions.iter().map(|c| c.kind.as_str()));
    if let Some(conditions) = node.status.as_mut().and_then(|s| s.conditions.as_mut()) {
        conditions.retain(|c| stated.contains(c.type_.as_str()));
    }
    news
}

fn set_condition(node: &mut Node, kind: &str, holds: bool, reason: &str, message: &str, now: Timestamp) {
    life::set_condition(node, kind, if holds { "True" } else { "False" }, reason, message, now);
}

/// Keeps new pods away from the node, or no longer.
pub(super) fn set_taint(node: &mut Node, key: &str, wanted: bool, now: Timestamp) {
    if !wanted {
        let Some(spec) = &mut node.spec else { return };
        let taints = spec.taints.take().into_iter().flatten().filter(|t| t.key != key);
        spec.taints = Some(taints.collect::<Vec<_>>()).filter(|t| !t.is_empty());
        return;
    }
    let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
    if !taints.iter().any(|t| t.key == key) {
        taints.push(Taint {
            key: key.to_owned(),
            effect: "NoSchedule".to_owned(),
            time_added: Some(meta::time(now)),
            value: None,
        });
    }
}

#[cfg(test)]
#[path = "pressure_test.rs"]
mod tests;
