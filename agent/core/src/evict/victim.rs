//! Which pod has to go.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gannet_protocols_model::{
    ByteSize, Container, Manifest, NodeUsage, PodPhase, PodStatus, PodUid, PodUsage, Timestamp, Usage,
};

use super::pressure::{Level, Signal};
use super::storage::GRACE_SECONDS;
use crate::desired::DesiredWorld;
use crate::record::PodEnd;

/// Pods of at least this priority are the node's own (`system-cluster-critical`): they never go.
const CRITICAL: i32 = 2_000_000_000;

/// The pod that goes first, and what is told of it. In kubelet's order: pods that use more than they asked for, then those
/// of the lowest priority, then those that use most beyond what they asked for. For process ids nothing is asked for.
pub fn victim(
    signal: Signal,
    level: Level,
    desired: &DesiredWorld,
    statuses: &BTreeMap<PodUid, PodStatus>,
    usage: &NodeUsage,
    now: Timestamp,
) -> Option<(PodUid, PodEnd)> {
    let candidates = usage.pods.iter().filter_map(|pod| {
        let wanted = desired.pods.get(&pod.uid)?;
        let manifest = wanted.manifest.as_deref()?;
        let phase = statuses.get(&pod.uid)?.phase;
        let goes = wanted.entry.stop_within_seconds.is_none()
            && matches!(phase, PodPhase::Pending | PodPhase::Running)
            && manifest.priority < CRITICAL
            && !pod.containers.is_empty();
        goes.then_some((pod, manifest))
    });
    let first = candidates.max_by_key(|(pod, manifest)| {
        let (used, asked) = (pod_usage(signal, pod), pod_request(signal, manifest));
        let exceeds = signal != Signal::Pids && used > asked;
        // The uid makes the order total.
        (exceeds, Reverse(manifest.priority), i128::from(used) - i128::from(asked), Reverse(&pod.uid))
    });
    let (pod, manifest) = first?;
    let message = message(signal, level, pod, manifest);
    let end = PodEnd { reason: "Evicted".to_owned(), message, at: now, grace_seconds: Some(GRACE_SECONDS) };
    Some((pod.uid.clone(), end))
}

/// Inodes are not counted by pod: who takes most disk takes most of them.
fn container_usage(signal: Signal, usage: &Usage) -> u64 {
    match signal {
        Signal::Memory => usage.memory.0,
        Signal::Disk | Signal::Inodes => usage.disk.0,
        Signal::Pids => usage.pids,
    }
}

fn pod_usage(signal: Signal, pod: &PodUsage) -> u64 {
    let containers = pod.containers.iter().map(|c| container_usage(signal, &c.usage));
    let volumes = matches!(signal, Signal::Disk | Signal::Inodes).then_some(pod.volumes.0);
    containers.chain(volumes).fold(0, u64::saturating_add)
}

fn request(signal: Signal, container: &Container) -> u64 {
    let request = match signal {
        Signal::Memory => container.resources.memory_request,
        Signal::Disk => container.resources.disk_request,
        Signal::Inodes | Signal::Pids => None,
    };
    request.unwrap_or(ByteSize(0)).0
}

fn pod_request(signal: Signal, manifest: &Manifest) -> u64 {
    let beside = manifest.init_containers.iter().filter(|c| c.sidecar);
    manifest.containers.iter().chain(beside).map(|c| request(signal, c)).fold(0, u64::saturating_add)
}

fn message(signal: Signal, level: Level, pod: &PodUsage, manifest: &Manifest) -> String {
    let resource = signal.resource();
    let mut text = format!(
        "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
        signal.amount(level.least),
        signal.amount(level.available)
    );
    if signal == Signal::Inodes {
        return text;
    }
    for container in &pod.containers {
        let Some(asked) = manifest.all_containers().find(|c| c.name == container.name) else { continue };
        let (used, asked) = (container_usage(signal, &container.usage), request(signal, asked));
        if used > asked {
            text.push_str(&format!(
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                container.name,
                signal.amount(used),
                signal.amount(asked)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use gannet_protocols_model::ContainerUsage;

    use super::*;
    use crate::fake::{Node, manifest, uid};

    const MIB: u64 = 1 << 20;

    /// Pods as `name priority request used`, in MiB; returns them in the order in which they go.
    fn order(signal: Signal, pods: &[(&str, i32, u64, u64)]) -> Vec<String> {
        let mut node = Node::new();
        let mut usage = NodeUsage {
            at: node.now,
            window_ms: 0,
            node: Usage::default(),
            agent: Usage::default(),
            pods: Vec::new(),
        };
        for (name, priority, request, used) in pods {
            let mut manifest = manifest("Always", &["main"]);
            manifest.priority = *priority;
            manifest.containers[0].resources.memory_request = Some(ByteSize(request * MIB));
            manifest.containers[0].resources.disk_request = Some(ByteSize(request * MIB));
            node.want(name, manifest);
            let size = ByteSize(used * MIB);
            let usage_of = Usage { cpu_nanos: 0, memory: size, disk: ByteSize(0), pids: *used };
            let container = ContainerUsage { name: "main".into(), usage: usage_of };
            usage.pods.push(PodUsage {
                uid: uid(name),
                namespace: "default".into(),
                name: (*name).to_owned(),
                containers: vec![container],
                volumes: size,
            });
        }
        node.settle();
        let level = Level { available: 10 * MIB, least: 100 * MIB };
        let mut gone = Vec::new();
        loop {
            let statuses = pods.iter().map(|(name, ..)| (uid(name), node.status(name))).collect();
            let Some((uid, end)) = victim(signal, level, &node.desired, &statuses, &usage, node.now) else {
                return gone;
            };
            assert!(end.message.starts_with("The node was low on resource: "), "{}", end.message);
            usage.pods.retain(|p| p.uid != uid);
            gone.push(uid.to_string());
        }
    }

    #[test]
    fn kubelets_order() {
        let pods = [
            ("within", 0, 100, 90),
            ("over", 5, 10, 30),
            ("more-over", 5, 10, 40),
            ("low", -1, 100, 50),
            ("important", 1000, 10, 500),
            ("critical", 2_000_000_000, 0, 900),
        ];
        for signal in [Signal::Memory, Signal::Disk] {
            let expect = ["more-over", "over", "important", "low", "within"];
            assert_eq!(order(signal, &pods), expect, "{signal:?}");
        }
        assert_eq!(order(Signal::Pids, &pods), ["low", "within", "more-over", "over", "important"]);
        assert_eq!(order(Signal::Memory, &[]), Vec::<String>::new());
    }

    #[test]
    fn kubelets_words() {
        let mut manifest = manifest("Always", &["main", "small"]);
        manifest.containers[1].resources.memory_request = Some(ByteSize(64 * MIB));
        let container = |name: &str, memory: u64| ContainerUsage {
            name: name.into(),
            usage: Usage { memory: ByteSize(memory), pids: 7, ..Usage::default() },
        };
        let pod = PodUsage {
            uid: uid("web"),
            namespace: "default".into(),
            name: "web".into(),
            containers: vec![container("main", 80 * MIB + 4096), container("small", 64 * MIB)],
            volumes: ByteSize(0),
        };
        let level = Level { available: 60 * MIB, least: 100 * MIB };
        assert_eq!(
            message(Signal::Memory, level, &pod, &manifest),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. \
             Container main was using 81924Ki, request is 0, has larger consumption of memory. "
        );
        let level = Level { available: 60, least: 100 };
        assert_eq!(
            message(Signal::Inodes, level, &pod, &manifest),
            "The node was low on resource: inodes. Threshold quantity: 100, available: 60. "
        );
    }
}
