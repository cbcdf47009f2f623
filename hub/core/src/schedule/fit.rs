//! Whether a pod may run on a node, and if not, why.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};

use super::request::{Amounts, is_sidecar, requests, used};
use crate::control::Draft;
use crate::control::pod_template::qos_class;

/// What a pod asks of its node. Pods that are alike share one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Needs {
    pub(super) requests: Amounts,
    selector: BTreeMap<String, String>,
    /// Required node affinity: one of these must hold.
    terms: Option<Vec<NodeSelectorTerm>>,
    tolerations: Vec<Toleration>,
    pub(super) host_ports: BTreeSet<(i32, String)>,
}

impl Needs {
    pub(super) fn of(spec: &PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        Self {
            requests: requests(spec),
            selector: spec.node_selector.clone().unwrap_or_default(),
            terms: required.map(|r| r.node_selector_terms.clone()),
            tolerations: tolerations(spec),
            host_ports: host_ports(spec),
        }
    }
}

/// A pod that asks for something is told from one that takes what is left: it may run where memory is short, as every
/// such pod of Kubernetes has this toleration.
fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut tolerations = spec.tolerations.clone().unwrap_or_default();
    if qos_class(spec) != "BestEffort" {
        tolerations.push(Toleration {
            key: Some(MEMORY_PRESSURE.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some("NoSchedule".to_owned()),
            ..Toleration::default()
        });
    }
    tolerations
}

/// The ports of the node that a pod takes while it runs.
pub(super) fn host_ports(spec: &PodSpec) -> BTreeSet<(i32, String)> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|p| {
            let on_host = spec.host_network == Some(true);
            let port = p.host_port.or(on_host.then_some(p.container_port)).filter(|&port| port != 0)?;
            Some((port, p.protocol.clone().unwrap_or_else(|| "TCP".to_owned())))
        })
        .collect()
}

/// A node, and what is still free on it.
#[derive(Debug)]
pub(super) struct NodeFree<'a> {
    pub(super) node: &'a Node,
    pub(super) allocatable: Amounts,
    pub(super) used: Amounts,
    pub(super) pods: u64,
    pub(super) ports: BTreeSet<(i32, String)>,
}

impl NodeFree<'_> {
    /// Notes a pod that is bound to the node.
    pub(super) fn take(&mut self, requests: &Amounts, ports: &BTreeSet<(i32, String)>) {
        for (resource, amount) in requests {
            let used = self.used.entry(resource.clone()).or_default();
            *used = used.saturating_add(*amount);
        }
        self.pods += 1;
        self.ports.extend(ports.iter().cloned());
    }

    fn allocatable(&self, resource: &str) -> u64 {
        self.allocatable.get(resource).copied().unwrap_or(0)
    }
}

/// Why not; each reason as `kubectl describe pod` shows it. The first question that a node fails decides; of what it has
/// too little, everything is named.
pub(super) fn misfits(needs: &Needs, free: &NodeFree<'_>) -> Vec<String> {
    let node = free.node;
    let spec = node.spec.as_ref();
    let tolerates = |taint: &Taint| needs.tolerations.iter().any(|t| tolerates(t, taint));
    if spec.and_then(|s| s.unschedulable) == Some(true)
        && !tolerates(&taint("node.kubernetes.io/unschedulable"))
    {
        return vec!["node(s) were unschedulable".to_owned()];
    }
    let taints = spec.iter().flat_map(|s| s.taints.iter().flatten());
    let hard = taints.into_iter().filter(|t| matches!(t.effect.as_str(), "NoSchedule" | "NoExecute"));
    let silent = match readiness(node) {
        "True" => None,
        "False" => Some(taint("node.kubernetes.io/not-ready")),
        _ => Some(taint("node.kubernetes.io/unreachable")),
    };
    let pressures = pressures(node);
    let stopped = silent.as_ref().or_else(|| hard.into_iter().chain(&pressures).find(|t| !tolerates(t)));
    if let Some(taint) = stopped {
        let value = taint.value.as_deref().unwrap_or_default();
        return vec![format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)];
    }
    if !is_selected(needs, node) {
        return vec!["node(s) didn't match Pod's node affinity/selector".to_owned()];
    }
    if !needs.host_ports.is_disjoint(&free.ports) {
        return vec!["node(s) didn't have free ports for the requested pod ports".to_owned()];
    }
    let mut reasons = Vec::new();
    if free.pods >= free.allocatable("pods") {
        reasons.push("Too many pods".to_owned());
    }
    for (resource, amount) in &needs.requests {
        let used = free.used.get(resource).copied().unwrap_or(0);
        if *amount > free.allocatable(resource).saturating_sub(used) {
            reasons.push(format!("Insufficient {resource}"));
        }
    }
    reasons
}

fn taint(key: &str) -> Taint {
    Taint { key: key.to_owned(), effect: "NoSchedule".to_owned(), value: None, time_added: None }
}

const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";

/// Conditions of a node that keep pods away, and the taints that stand for them.
const PRESSURES: &[(&str, &str)] = &[
    ("MemoryPressure", MEMORY_PRESSURE),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

fn pressures(node: &Node) -> Vec<Taint> {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let holding: BTreeSet<&str> =
        conditions.filter(|c| c.status == "True").map(|c| c.type_.as_str()).collect();
    PRESSURES.iter().filter(|(kind, _)| holding.contains(kind)).map(|(_, key)| taint(key)).collect()
}

fn readiness(node: &Node) -> &str {
    crate::control::readiness(node)
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" | "" => {
            !key.is_empty()
                && toleration.value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default()
        }
        _ => false,
    }
}

fn is_selected(needs: &Needs, node: &Node) -> bool {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    needs.selector.iter().all(|(k, v)| labels.get(k) == Some(v))
        && needs.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| holds(term, node, &labels)))
}

/// A term without requirements matches nothing.
fn holds(term: &NodeSelectorTerm, node: &Node, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = |key: &str| if key == "metadata.name" { node.metadata.name.as_ref() } else { None };
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|e| requirement(e, labels.get(&e.key)))
        && fields.iter().all(|e| requirement(e, name(&e.key)))
}

fn requirement(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &String| text.parse::<i64>().ok();
    let bound = values.first().and_then(number);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => !value.is_some_and(|v| values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number).zip(bound).is_some_and(|(v, bound)| v > bound),
        "Lt" => value.and_then(number).zip(bound).is_some_and(|(v, bound)| v < bound),
        _ => false,
    }
}

/// The nodes by name, with what is bound to them.
pub(super) fn nodes<'d>(draft: &'d Draft<'_>) -> BTreeMap<&'d str, NodeFree<'d>> {
    let mut nodes: BTreeMap<&str, NodeFree<'_>> = BTreeMap::new();
    for (key, node) in draft.nodes.iter().filter(|(_, n)| !crate::control::is_terminating(&n.metadata)) {
        let allocatable = super::request::allocatable(node);
        let (used, ports) = (Amounts::new(), BTreeSet::new());
        nodes.insert(&key.name, NodeFree { node, allocatable, used, pods: 0, ports });
    }
    for (_, pod) in draft.pods.iter() {
        let Some(spec) = &pod.spec else { continue };
        if let Some(free) = spec.node_name.as_deref().and_then(|name| nodes.get_mut(name))
            && !crate::control::is_finished(pod)
        {
            free.take(&used(pod), &host_ports(spec));
        }
    }
    nodes
}

#[cfg(test)]
#[path = "fit_test.rs"]
mod tests;
