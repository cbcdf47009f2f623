//! What a node sees of its pods. The hub turns it into `status` of Kubernetes' Pod.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Digest, PodUid, Resources, Timestamp};

/// One pod as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// The pod.
    pub uid: PodUid,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The manifest that it runs.
    pub manifest: Digest,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Why, in one word, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// When the node first saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Set where the device went back from a manifest that did not become ready: `manifest` is the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// Set while the node has not yet given what a resize asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Its init containers, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<ContainerStatus>,
    /// Its containers, in the manifest's order.
    pub containers: Vec<ContainerStatus>,
}

/// A manifest that the device gave up, and why. It is not tried again until the pod's owner names another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The manifest that failed.
    pub failed: Digest,
    /// When it was given up.
    pub at: Timestamp,
    /// In one word, as `CrashLoopBackOff` or `ProgressDeadlineExceeded`.
    pub reason: String,
    /// In a sentence, with the last lines of the log.
    pub message: String,
}

/// How far a resize is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resize {
    /// Being carried out.
    InProgress,
    /// Has to wait until the node has room, or failed and is tried again; with why.
    Deferred(String),
    /// Cannot be given on this node at all; with why.
    Infeasible(String),
}

/// `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Not every container was started yet.
    Pending,
    /// Bound, all started, at least one runs or will be started again.
    Running,
    /// All ended with code 0 and stay ended.
    Succeeded,
    /// All ended, one with another code, and stay ended.
    Failed,
}

/// One container as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Its name in the pod.
    pub name: String,
    /// Now.
    pub state: ContainerState,
    /// How it ended the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Terminated>,
    /// How often it was started again.
    pub restart_count: u32,
    /// Whether its readiness probe succeeds.
    pub ready: bool,
    /// Whether its startup probe succeeded.
    pub started: bool,
    /// What it has, where that is not what the manifest says: a resize has not come through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The digest of the image that runs, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<Digest>,
    /// The runtime's id of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
}

/// `state` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainerState {
    /// Not started, or waiting to be started again.
    Waiting {
        /// As kubelet names it: `ContainerCreating`, `CrashLoopBackOff`, `ErrImagePull`, …
        reason: String,
        /// In a sentence; may be empty.
        message: String,
    },
    /// Runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// Ended.
    Terminated(Terminated),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminated {
    /// 0 to 255; 128 and the signal's number where a signal ended it.
    pub exit_code: i32,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`.
    pub reason: String,
    /// In a sentence; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl PodStatus {
    /// Whether all containers are ready, so that services may use the pod: sidecars too. An init container that completed
    /// says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.phase == PodPhase::Running
            && !self.containers.is_empty()
            && self.init_containers.iter().chain(&self.containers).all(|c| c.ready)
    }
}

/// The hash of a node's whole observed state: the first 8 hex digits of the sha256 over its pods in order of uid.
/// Both sides compute it; where they differ, the node sends everything again.
pub fn state_hash(pods: &BTreeMap<PodUid, PodStatus>) -> String {
    // Structs of strings and numbers always serialize.
    let bytes = serde_json::to_vec(&pods.values().collect::<Vec<_>>()).unwrap_or_default();
    Digest::of(&bytes).hex()[..8].to_owned()
}
