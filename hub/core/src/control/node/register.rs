//! A node says what it is.

use std::collections::BTreeMap;

use gannet_protocols_model::{ByteSize, CpuMillis, NodeInfo, NodeName, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{life, pressure};
use crate::control::meta;
use crate::{Change, Kind, ObjectKey, World};

/// Remembers which labels came from the agent's configuration, so that one that it drops goes away here too.
const AGENT_LABELS: &str = "gannet.io/agent-labels";

/// Names of the extended resources that are a node's devices begin with this.
const DEVICES: &str = "devices.gannet.dev/";

/// The label prefixes that the hub alone sets.
const RESERVED: [&str; 2] = ["kubernetes.io/", "node-role.kubernetes.io/"];

/// Creates or updates a node from what it says of itself, and marks it ready: it speaks. Nothing where all that is known.
///
/// A new node gets the lowest free /24 of 10.42.0.0/16 for its pods. Beyond 256 nodes ranges are given out again, the
/// least used first: ranges must differ only between nodes that reach each other's pods, those of one site.
pub fn node_registered(world: &World, name: &NodeName, info: &NodeInfo, now: Timestamp) -> Vec<Change> {
    let key = ObjectKey::new("", name.as_str());
    let stored = world.nodes.get(&key);
    let mut node = stored.map_or_else(|| new_node(name, now), |node| node.as_ref().clone());
    set_labels(&mut node, name, info);
    let spec = node.spec.get_or_insert_default();
    if spec.pod_cidr.is_none() {
        let cidr = free_pod_cidr(world);
        spec.pod_cidrs = Some(vec![cidr.clone()]);
        spec.pod_cidr = Some(cidr);
    }
    set_status(&mut node, name, info);
    let mut news = pressure::set_conditions(&mut node, info, now);
    if life::mark_up(&mut node, now) {
        news.push("NodeReady");
    }
    if stored.is_some_and(|stored| **stored == node) {
        return Vec::new();
    }
    // Typed objects of strings, numbers and maps always serialize.
    let Ok(object) = serde_json::to_value(&node) else { return Vec::new() };
    let mut changes = Vec::new();
    if stored.is_none() {
        changes.push(Change::Create { kind: Kind::NODE, object });
        let message = format!("Node {name} event: Registered Node {name} in Controller");
        changes.push(life::event(name.as_str(), "RegisteredNode", message));
    } else {
        changes.push(Change::Update { kind: Kind::NODE, object });
    }
    changes.extend(news.into_iter().map(|news| life::status_is_now(name.as_str(), news)));
    changes
}

fn new_node(name: &NodeName, now: Timestamp) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.to_string());
    node.metadata.creation_timestamp = Some(meta::time(now));
    node
}

fn set_labels(node: &mut Node, name: &NodeName, info: &NodeInfo) {
    let former = meta::annotation(&node.metadata, AGENT_LABELS).unwrap_or_default().to_owned();
    let given = info.labels.iter().filter(|(key, _)| !RESERVED.iter().any(|prefix| key.starts_with(prefix)));
    let given: BTreeMap<_, _> = given.collect();
    let labels = node.metadata.labels.get_or_insert_default();
    for key in former.split(',').filter(|key| !given.keys().any(|k| k == key)) {
        labels.remove(key);
    }
    labels.extend(given.iter().map(|(key, value)| ((*key).clone(), (*value).clone())));
    let host: String = name.as_str().chars().take(63).collect();
    labels.insert("kubernetes.io/hostname".to_owned(), host.trim_end_matches(['-', '.']).to_owned());
    labels.insert("kubernetes.io/arch".to_owned(), info.architecture.clone());
    labels.insert("kubernetes.io/os".to_owned(), "linux".to_owned());
    labels.insert("node-role.kubernetes.io/gateway".to_owned(), String::new());
    let list = given.keys().map(|key| key.as_str()).collect::<Vec<_>>().join(",");
    let annotations = node.metadata.annotations.get_or_insert_default();
    if list.is_empty() {
        annotations.remove(AGENT_LABELS);
    } else {
        annotations.insert(AGENT_LABELS.to_owned(), list);
    }
    node.metadata.annotations = node.metadata.annotations.take().filter(|a| !a.is_empty());
}

/// What there is of each resource and, less what is kept for the system, for pods.
fn set_amounts(status: &mut NodeStatus, info: &NodeInfo) {
    let amounts = |cpu: CpuMillis, memory: ByteSize, disk: ByteSize| -> BTreeMap<String, Quantity> {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_quantity())),
            ("memory".to_owned(), Quantity(memory.to_quantity())),
            ("ephemeral-storage".to_owned(), Quantity(disk.to_quantity())),
            ("pods".to_owned(), Quantity(info.max_pods.to_string())),
        ])
    };
    let rest = |all: u64, reserved: u64| all.saturating_sub(reserved);
    let mut capacity = amounts(info.cpu, info.memory, info.disk);
    let mut allocatable = amounts(
        CpuMillis(rest(info.cpu.0, info.cpu_reserved.0)),
        ByteSize(rest(info.memory.0, info.memory_reserved.0)),
        ByteSize(rest(info.disk.0, info.disk_reserved.0)),
    );
    // As Kubernetes does with the resources of a device plugin that went away: pods that have one still name it.
    let former = status.capacity.iter().flatten().map(|(name, _)| name.as_str());
    let former = former.filter(|name| name.starts_with(DEVICES) && !info.devices.contains_key(*name));
    let gone: Vec<(String, u32)> = former.map(|name| (name.to_owned(), 0)).collect();
    // Whatever a node says, it cannot make up a resource of another name.
    let there = info.devices.iter().filter(|(name, _)| name.starts_with(DEVICES));
    for (name, count) in there.map(|(name, count)| (name.clone(), *count)).chain(gone) {
        capacity.insert(name.clone(), Quantity(count.to_string()));
        allocatable.insert(name, Quantity(count.to_string()));
    }
    status.capacity = Some(capacity);
    status.allocatable = Some(allocatable);
}

fn set_status(node: &mut Node, name: &NodeName, info: &NodeInfo) {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let host = if info.hostname.is_empty() { name.to_string() } else { info.hostname.clone() };
    let status: &mut NodeStatus = node.status.get_or_insert_default();
    set_amounts(status, info);
    status.addresses = Some(vec![address("InternalIP", info.address.to_string()), address("Hostname", host)]);
    status.node_info = Some(NodeSystemInfo {
        architecture: info.architecture.clone(),
        boot_id: info.boot_id.clone(),
        container_runtime_version: "youki-libcontainer://0.7.0".to_owned(),
        kernel_version: info.kernel.clone(),
        kubelet_version: info.agent_version.clone(),
        machine_id: info.machine_id.clone(),
        operating_system: "linux".to_owned(),
        os_image: info.os_image.clone(),
        system_uuid: info.machine_id.clone(),
        ..NodeSystemInfo::default()
    });
}

fn free_pod_cidr(world: &World) -> String {
    let mut uses = [0_usize; 256];
    for node in world.nodes.values() {
        let cidr = node.spec.as_ref().and_then(|s| s.pod_cidr.as_deref()).unwrap_or_default();
        let third = cidr.strip_prefix("10.42.").and_then(|rest| rest.split('.').next()?.parse::<u8>().ok());
        if let Some(third) = third {
            uses[usize::from(third)] += 1;
        }
    }
    let (third, _) = uses.iter().enumerate().min_by_key(|&(_, uses)| *uses).unwrap_or((0, &0));
    format!("10.42.{third}.0/24")
}

#[cfg(test)]
#[path = "register_test.rs"]
mod tests;
