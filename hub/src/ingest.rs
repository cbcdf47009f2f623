//! From what nodes say to what is to change. Decisions are the core's; this only picks the one that fits.

use std::collections::BTreeSet;

use gannet_hub_core::compile::Misfit;
use gannet_hub_core::{Change, ObjectKey, World, control};
use gannet_protocols_link::{DownReason, Fact};
use gannet_protocols_model::{
    ContainerState, ContainerStatus, Digest, Generation, NodeName, PodPhase, PodStatus, PodUid, Report,
    Timestamp,
};
use k8s_openapi::api::core::v1::Pod;

/// One thing to decide, against the world as it is when its turn comes.
#[derive(Debug)]
pub(crate) enum Step {
    Up(NodeName),
    Down(NodeName, DownReason),
    Node(NodeName, Box<Report>),
    Pod(NodeName, Box<PodStatus>),
    Rest(NodeName, Box<Report>),
    /// All pods of the node while it works towards a generation. To be decided once the node's documents are current.
    Inventory(NodeName, Generation, BTreeSet<PodUid>),
}

/// The steps of a fact. Each is decided after the changes of the one before are in the world.
pub(crate) fn steps(fact: Fact) -> Vec<Step> {
    match fact {
        Fact::NodeUp { node, .. } => vec![Step::Up(node)],
        Fact::NodeDown { node, why, .. } => vec![Step::Down(node, why)],
        Fact::Report { node, report } => {
            let report = *report;
            let pods: Vec<Step> =
                report.pods.iter().map(|pod| Step::Pod(node.clone(), Box::new(pod.clone()))).collect();
            let first = Step::Node(node.clone(), Box::new(report.clone()));
            let last = Step::Rest(node, Box::new(report));
            std::iter::once(first).chain(pods).chain([last]).collect()
        }
        Fact::Inventory { node, generation, pods } => vec![Step::Inventory(node, generation, pods)],
        Fact::Generation { .. } | Fact::Command { .. } => Vec::new(),
    }
}

/// What a step changes. `newest` is the generation that the node was given last.
pub(crate) fn decide(world: &World, step: &Step, newest: Option<Generation>, now: Timestamp) -> Vec<Change> {
    let known = |node: &NodeName| world.nodes.get(&ObjectKey::new("", node.as_str()));
    match step {
        Step::Up(node) => known(node).map(|n| control::node_up(n, now)).unwrap_or_default(),
        Step::Down(node, why) => {
            let why = match why {
                DownReason::Died => "the agent's connection ended",
                DownReason::Silent => "the agent stopped reporting",
            };
            known(node).map(|n| control::node_down(n, why, now)).unwrap_or_default()
        }
        Step::Node(node, report) => match &report.node {
            Some(info) => control::node_registered(world, node, info, now),
            None => Vec::new(),
        },
        Step::Pod(node, status) => control::apply_report(world, node, status, now).into_iter().collect(),
        Step::Rest(node, report) => {
            let removed = report.removed.iter().filter_map(|uid| control::pod_removed(world, node, uid));
            let events = report.events.iter().filter_map(|event| control::node_event(world, node, event));
            removed.chain(events).collect()
        }
        // A node that is behind may yet start a pod that it does not list.
        Step::Inventory(node, generation, pods) if newest == Some(*generation) => {
            control::pods_gone(world, node, pods)
        }
        Step::Inventory(..) => Vec::new(),
    }
}

/// The status of a pod that cannot be compiled, as kubelet would report it.
pub(crate) fn misfit_status(pod: &Pod, misfit: &Misfit) -> Option<PodStatus> {
    let spec = pod.spec.as_ref()?;
    let status = |name: &str| ContainerStatus {
        name: name.to_owned(),
        state: ContainerState::Waiting {
            reason: if misfit.container.as_deref().is_none_or(|c| c == name) {
                misfit.reason.to_owned()
            } else {
                "ContainerCreating".to_owned()
            },
            message: misfit.message.clone(),
        },
        last: None,
        restart_count: 0,
        ready: false,
        started: false,
        resources: None,
        image_id: None,
        container_id: None,
    };
    Some(PodStatus {
        uid: pod.metadata.uid.as_deref()?.parse().ok()?,
        namespace: pod.metadata.namespace.clone()?,
        name: pod.metadata.name.clone()?,
        manifest: Digest::of(b""),
        phase: PodPhase::Pending,
        reason: None,
        message: None,
        ip: None,
        started_at: None,
        rolled_back: None,
        resize: None,
        init_containers: spec.init_containers.iter().flatten().map(|c| status(&c.name)).collect(),
        containers: spec.containers.iter().map(|c| status(&c.name)).collect(),
    })
}
