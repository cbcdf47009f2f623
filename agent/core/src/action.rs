//! What an agent can do. The list is closed: the executor knows these and nothing else.

use gannet_protocols_model::{Digest, HookAction, ImageReference, PodUid, PullPolicy, Resources, Timestamp};

use crate::container_id::ContainerId;
use crate::record::PodEnd;

/// One thing to do. Each may be done again after a crash at any point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Get an image. Belongs to no pod: it never holds one up that does not need it.
    PullImage {
        /// Which.
        image: ImageReference,
        /// With [`PullPolicy::Always`] the registry is asked even if the image is here.
        ask: bool,
    },
    /// Make a pod's folders, volumes, network and sandbox.
    PreparePod {
        /// Which.
        pod: PodUid,
    },
    /// Bring the files of a running pod's volumes to its new manifest.
    UpdateVolumes {
        /// Whose.
        pod: PodUid,
    },
    /// Create and start a container's next run.
    StartContainer {
        /// Of which pod.
        pod: PodUid,
        /// Which container, which run.
        id: ContainerId,
        /// From which image.
        image: Digest,
    },
    /// Run a container's `postStart` hook beside all else.
    RunPostStart {
        /// Of which pod.
        pod: PodUid,
        /// Which run.
        id: ContainerId,
        /// What to do.
        hook: HookAction,
    },
    /// Give a running container other resources.
    ResizeContainer {
        /// Of which pod.
        pod: PodUid,
        /// Which run.
        id: ContainerId,
        /// What it should have.
        resources: Resources,
    },
    /// Note that a container is to end, and run its `preStop` hook beside all else. Its signal waits for the hook and for
    /// the containers that have to end before it; a later plan sends it.
    BeginStop {
        /// Of which pod.
        pod: PodUid,
        /// Which run.
        id: ContainerId,
        /// What to do before the signal.
        hook: Option<HookAction>,
        /// When the wait is over at the latest.
        deadline: Timestamp,
        /// Why, in a sentence.
        why: String,
    },
    /// Send the stop signal; the kill follows at the deadline.
    StopContainer {
        /// Of which pod.
        pod: PodUid,
        /// Which run.
        id: ContainerId,
        /// The signal's number.
        signal: i32,
        /// When a later plan will kill it.
        deadline: Timestamp,
        /// Why, in a sentence.
        why: String,
    },
    /// Send SIGKILL.
    KillContainer {
        /// Of which pod.
        pod: PodUid,
        /// Which run.
        id: ContainerId,
    },
    /// Remove what is left of an ended run.
    RemoveContainer {
        /// Of which pod.
        pod: PodUid,
        /// Which run.
        id: ContainerId,
    },
    /// Note that the node ends a pod as a whole.
    EndPod {
        /// Which.
        pod: PodUid,
        /// Why.
        end: PodEnd,
    },
    /// Remove sandbox, network, volumes and folders of a pod that the node ended. What is remembered of it stays.
    ClearPod {
        /// Which.
        pod: PodUid,
    },
    /// Remove sandbox, network, volumes and folders. Nothing of the pod is left then.
    RemovePod {
        /// Which.
        pod: PodUid,
    },
}

impl Action {
    /// The pod that the action is for.
    pub fn pod(&self) -> Option<&PodUid> {
        match self {
            Self::PullImage { .. } => None,
            Self::PreparePod { pod }
            | Self::UpdateVolumes { pod }
            | Self::StartContainer { pod, .. }
            | Self::RunPostStart { pod, .. }
            | Self::ResizeContainer { pod, .. }
            | Self::BeginStop { pod, .. }
            | Self::EndPod { pod, .. }
            | Self::ClearPod { pod }
            | Self::StopContainer { pod, .. }
            | Self::KillContainer { pod, .. }
            | Self::RemoveContainer { pod, .. }
            | Self::RemovePod { pod } => Some(pod),
        }
    }

    pub(crate) fn pull(image: &ImageReference, policy: PullPolicy) -> Self {
        // A name with a digest cannot come to stand for anything else.
        let ask = policy == PullPolicy::Always && image.digest().is_none();
        Self::PullImage { image: image.clone(), ask }
    }
}
