//! What the agent remembers of a pod across restarts of itself and of the machine.

use std::collections::BTreeMap;

use gannet_protocols_model::{Digest, ImageReference, PodUid, Resources, Terminated, Timestamp};
use serde::{Deserialize, Serialize};

use crate::restart::Backoff;

/// A pod's history. The agent keeps the whole of it in memory file systems, and what must survive a power cut on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRecord {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The manifest that its volumes were made from.
    pub manifest: Digest,
    /// Names the fields of its entry that its volumes were made with ([`crate::DesiredPod::fields_digest`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Digest>,
    /// When the node first heard of it.
    pub first_seen: Timestamp,
    /// Seconds between SIGTERM and SIGKILL, for a pod that left the desired document.
    pub grace_seconds: u32,
    /// Set once the node ended the pod as a whole: nothing of it is started any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<PodEnd>,
    /// Its containers by name.
    #[serde(default)]
    pub containers: BTreeMap<String, ContainerRecord>,
}

/// How and why the node ended a pod as a whole, of its own accord.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodEnd {
    /// In one word, as `DeadlineExceeded` or `Evicted`.
    pub reason: String,
    /// In a sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Replaces the pod's own grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
}

impl PodEnd {
    /// Whether the pod had to make room: then nothing of it may stay on the disk.
    pub fn is_eviction(&self) -> bool {
        self.reason == "Evicted"
    }
}

/// A container's history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// How many runs were begun: the number of the next one.
    #[serde(default)]
    pub attempts: u32,
    /// The image that was found for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ResolvedImage>,
    /// The signal that asks it to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<i32>,
    /// When its last run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Whether its last run goes on, as far as is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub running: bool,
    /// Whether the restart policy says that there is no further run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// How the last run that ended did so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Terminated>,
    /// How long to wait before the next run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Its readiness, so that an agent that was restarted does not take it out of services.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
    /// Whether its startup probe succeeded in this run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub started: bool,
    /// Whether its `postStart` hook is done in this run, or it has none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooked: bool,
    /// Whether it is ended for another run, whatever the restart policy says: its definition changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renew: bool,
    /// When its run was asked to end because the pod leaves: an agent that is restarted gives it no more than what is left
    /// of its grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving_since: Option<Timestamp>,
    /// What its run has of the node's CPU and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// An image's name and what it stood for when the container needed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// The name.
    pub name: ImageReference,
    /// What it stood for.
    pub digest: Digest,
}

impl PodRecord {
    /// The part that must survive a power cut: what decides whether and from which image a container runs again.
    /// Counters and back-off change with every crash; they are kept as they were when this part last changed.
    #[must_use]
    pub fn durable(&self) -> Self {
        let mut record = self.clone();
        for container in record.containers.values_mut() {
            let over = container.over;
            *container = ContainerRecord {
                attempts: container.attempts.min(1),
                image: container.image.take(),
                stop_signal: container.stop_signal,
                over,
                last: container.last.take().filter(|_| over),
                ..ContainerRecord::default()
            };
        }
        record
    }

    /// A record of a pod that is on the node though nothing is known of it.
    pub fn stranger(uid: &PodUid, now: Timestamp) -> Self {
        Self {
            namespace: String::new(),
            name: uid.to_string(),
            manifest: Digest::of(b""),
            fields: None,
            first_seen: now,
            grace_seconds: 30,
            ended: None,
            containers: BTreeMap::new(),
        }
    }
}
