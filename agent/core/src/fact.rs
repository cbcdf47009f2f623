//! What happened: results of actions, and news from the runtime and the probes. The only way [`crate::Observed`] changes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gannet_protocols_model::{Digest, ImageReference, PodUid, Resources, Timestamp};

use crate::container_id::ContainerId;
use crate::observed::{Exit, LiveState};
use crate::probes::ProbeKind;
use crate::record::PodEnd;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// At the start of the agent: everything that was there has been adopted. What ran and is not here was lost.
    AdoptionEnded,
    /// A pull began.
    PullBegan {
        /// Of which image.
        image: ImageReference,
    },
    /// A pull ended.
    PullEnded {
        /// Of which image.
        image: ImageReference,
        /// What the name stands for, or why it is not here.
        result: Result<Digest, String>,
        /// What is worth telling, such as how long it took.
        note: String,
    },
    /// What each image name stands for here, read from the store.
    ImagesHere {
        /// The names.
        local: BTreeMap<ImageReference, Digest>,
    },
    /// The link to the hub is up again: what failed for lack of a network is worth another try.
    LinkUp,
    /// Device units came back or became free: containers that wait for one may try again.
    DevicesChanged,
    /// Something about one pod.
    Pod(PodUid, PodFact),
}

/// One thing that happened to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodFact {
    /// At the start of the agent: it was found, an earlier agent had made it.
    Adopted {
        /// Its address.
        ip: Option<Ipv4Addr>,
        /// Its containers.
        containers: Vec<AdoptedContainer>,
    },
    /// Its sandbox is gone without having been asked to go.
    SandboxLost,
    /// Actions for it are under way.
    Busy,
    /// They are done, or one failed and the rest was left out.
    Idle,
    /// Its sandbox is there.
    Prepared {
        /// From which manifest.
        manifest: Digest,
        /// And from which fields of its entry ([`crate::DesiredPod::fields_digest`]).
        fields: Option<Digest>,
        /// Its address; `None` on the node's network.
        ip: Option<Ipv4Addr>,
    },
    /// Its volumes follow its new manifest.
    VolumesUpdated {
        /// Which manifest.
        manifest: Digest,
        /// And which fields of its entry.
        fields: Option<Digest>,
    },
    /// It could not be prepared, updated or removed.
    Failed {
        /// At what.
        step: PodStep,
        /// Why.
        message: String,
    },
    /// The node ends it as a whole: it passed its deadline, or has to make room. Only the first such fact counts.
    Ended(PodEnd),
    /// Nothing is left of it but what is remembered.
    Cleared,
    /// Nothing is left of it.
    Removed,
    /// A container runs.
    Started {
        /// Which run.
        id: ContainerId,
        /// Its image's name.
        image: ImageReference,
        /// And what that stood for.
        digest: Digest,
        /// The signal that asks it to end.
        stop_signal: i32,
        /// What it has of the node's CPU and memory.
        resources: Resources,
        /// Since when.
        at: Timestamp,
    },
    /// A container's `postStart` hook was begun.
    PostStartBegan {
        /// Of which run.
        id: ContainerId,
    },
    /// A hook ended.
    HookEnded {
        /// Of which run.
        id: ContainerId,
        /// Which of its hooks.
        kind: HookKind,
        /// Well, or why not.
        result: Result<(), String>,
    },
    /// A container has other resources.
    Resized {
        /// Which run.
        id: ContainerId,
        /// What it has now.
        resources: Resources,
    },
    /// A container could not be given other resources.
    NotResized {
        /// Which run.
        id: ContainerId,
        /// Why.
        message: String,
        /// Whether this node can never give them.
        never: bool,
    },
    /// A container could not be started.
    NotStarted {
        /// Which run.
        id: ContainerId,
        /// Why.
        failure: StartFailure,
    },
    /// A container ended.
    Exited {
        /// Which run.
        id: ContainerId,
        /// How.
        exit: Exit,
    },
    /// A container is to end: its `preStop` hook was begun, or it waits for its turn.
    StopBegan {
        /// Which run.
        id: ContainerId,
        /// Whether a hook was begun.
        hook: bool,
        /// When that wait is over at the latest.
        deadline: Timestamp,
        /// Why, in a sentence.
        why: String,
    },
    /// A container was asked to end.
    StopSent {
        /// Which run.
        id: ContainerId,
        /// When it will be killed.
        deadline: Timestamp,
        /// Why, in a sentence.
        why: String,
    },
    /// A container was killed.
    KillSent {
        /// Which run.
        id: ContainerId,
    },
    /// Nothing is left of a run.
    ContainerRemoved {
        /// Which run.
        id: ContainerId,
    },
    /// A probe was begun.
    ProbeBegan {
        /// Of which container.
        container: String,
        /// Of which of its runs.
        attempt: u32,
        /// Which probe.
        kind: ProbeKind,
    },
    /// A probe ended.
    ProbeEnded {
        /// Of which container.
        container: String,
        /// Of which of its runs.
        attempt: u32,
        /// Which probe.
        kind: ProbeKind,
        /// Well, or why not.
        result: Result<(), String>,
    },
    /// A probe could not be made: it says nothing of the container.
    ProbeLost {
        /// Of which container.
        container: String,
        /// Of which of its runs.
        attempt: u32,
        /// Which probe.
        kind: ProbeKind,
        /// Why.
        message: String,
    },
}

/// Which of a container's hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// Right after the start.
    PostStart,
    /// Before the stop signal.
    PreStop,
}

/// A container that an earlier agent had started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedContainer {
    /// Which run.
    pub id: ContainerId,
    /// How far it is.
    pub state: LiveState,
}

/// At what a pod failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodStep {
    /// Its volumes.
    Volumes,
    /// Its network or its sandbox.
    Sandbox,
    /// Its removal.
    Removal,
}

/// Why a container could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFailure {
    /// At what.
    pub step: StartStep,
    /// Why.
    pub message: String,
}

/// At what a container's start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartStep {
    /// The manifest asks for something that cannot be: a missing key, root where root is refused.
    Config,
    /// The node could not make what the container needs: root file system, mounts.
    Create,
    /// The devices that it asks for are not there, or others have them.
    Devices,
    /// The command could not be run. Counts as a run that ended.
    Run,
}
