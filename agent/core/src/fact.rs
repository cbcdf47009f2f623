//! What happened: results of actions, and news from the runtime and the probes. The only way [`crate::Observed`] changes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gannet_protocols_model::{Digest, ImageReference, PodUid, Timestamp};

use crate::container_id::ContainerId;
use crate::observed::{Exit, LiveState};
use crate::probes::ProbeKind;

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
        /// Its address; `None` on the node's network.
        ip: Option<Ipv4Addr>,
    },
    /// Its volumes follow its new manifest.
    VolumesUpdated {
        /// Which manifest.
        manifest: Digest,
    },
    /// It could not be prepared, updated or removed.
    Failed {
        /// At what.
        step: PodStep,
        /// Why.
        message: String,
    },
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
        /// Since when.
        at: Timestamp,
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
    /// The command could not be run. Counts as a run that ended.
    Run,
}
