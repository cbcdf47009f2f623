//! What pods and the node use: the figures of `kubectl top`, asked for when somebody wants them.

use serde::{Deserialize, Serialize};

use crate::{ByteSize, PodUid, Timestamp};

/// What something uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU over the window, in thousand-millionths of a core.
    pub cpu_nanos: u64,
    /// Memory that cannot be given back at once (the working set).
    pub memory: ByteSize,
    /// Disk: logs, writable layers and emptyDir volumes; of a node, what its data folder's file system holds.
    pub disk: ByteSize,
    /// Processes and threads.
    pub pids: u64,
}

/// A node and its pods at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUsage {
    /// When it was measured, by the node's clock.
    pub at: Timestamp,
    /// Over how many milliseconds the CPU was measured.
    pub window_ms: u64,
    /// All of the node.
    pub node: Usage,
    /// The agent itself with its shims.
    pub agent: Usage,
    /// Its pods.
    pub pods: Vec<PodUsage>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodUsage {
    /// The pod.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its containers that run.
    pub containers: Vec<ContainerUsage>,
    /// Disk of its emptyDir volumes, which belongs to no container.
    pub volumes: ByteSize,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerUsage {
    /// Its name in the pod.
    pub name: String,
    /// What it uses.
    pub usage: Usage,
}
