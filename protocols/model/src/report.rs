//! What a node tells the hub: about itself, its pods, and what happened.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, CpuMillis, Generation, PodStatus, PodUid, Session, Timestamp};

/// A report: what changed since the last one, or with `whole` everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The agent's session.
    pub session: Session,
    /// Counts the reports of a session; one that is not newer than the last is dropped.
    pub sequence: u64,
    /// The generation of the desired document that the node works towards.
    pub generation: Generation,
    /// Replaces all that the hub knew of the node's pods.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// About the node itself: with the first report of a session and where it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeInfo>,
    /// Pods that are new or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodStatus>,
    /// Pods of which nothing is left on the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<PodUid>,
    /// What happened, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<NodeEvent>,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Where its services are reached.
    pub address: Ipv4Addr,
    /// The kernel's host name.
    pub hostname: String,
    /// As Go names it: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os_image: String,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The agent's version.
    pub agent_version: String,
    /// All of it, in thousandths of a core.
    pub cpu: CpuMillis,
    /// All of it.
    pub memory: ByteSize,
    /// The data folder's file system.
    pub disk: ByteSize,
    /// Kept for system and agent.
    pub cpu_reserved: CpuMillis,
    /// Kept for system and agent.
    pub memory_reserved: ByteSize,
    /// Of the disk, kept for system and agent.
    #[serde(default)]
    pub disk_reserved: ByteSize,
    /// Extended resources and how many of each are there and well: `devices.gannet.dev/modbus`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<String, u32>,
    /// How many pods it runs at the most.
    pub max_pods: u32,
    /// Labels from the agent's configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What is wrong with it, if anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<NodeCondition>,
}

/// A condition of a node, as Kubernetes has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCondition {
    /// `MemoryPressure`, `DiskPressure`, `PIDPressure`, `DesiredRefused`, …
    pub kind: String,
    /// Whether it holds.
    pub holds: bool,
    /// In one word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

/// Something that happened on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEvent {
    /// When, by the node's clock.
    pub at: Timestamp,
    /// The pod that it happened to; the node itself where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodUid>,
    /// The container of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Normal or Warning.
    pub kind: EventKind,
    /// As kubelet names it: `Pulled`, `Created`, `Started`, `BackOff`, …
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

/// `type` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody may have to look.
    Warning,
}
