//! What an agent can do. The list is closed: the executor knows these and nothing else.

use gannet_protocols_model::{Digest, ImageReference, PodUid, PullPolicy, Timestamp};

use crate::container_id::ContainerId;

/// One thing to do. Each may be done again after a crash at any point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
