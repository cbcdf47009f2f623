//! A pod that should run, with what is known of it.

use gannet_protocols_model::{Container, Manifest, PodUid, Timestamp};

use crate::desired::DesiredPod;
use crate::observed::{LiveState, ObservedPod};

pub(super) struct Wanted<'a> {
    pub(super) uid: &'a PodUid,
    pub(super) pod: &'a ObservedPod,
    pub(super) desired: &'a DesiredPod,
    pub(super) manifest: &'a Manifest,
}

impl Wanted<'_> {
    /// Whether a container proper was begun in this sandbox: then all init containers were done once, and sidecars that
    /// are started again hold nothing up.
    pub(super) fn has_begun(&self) -> bool {
        self.manifest.containers.iter().any(|c| self.pod.live(&c.name).is_some())
    }

    /// Whether what comes after this init container may begin.
    pub(super) fn is_initialized(&self, init: &Container) -> bool {
        let Some(live) = self.pod.live(&init.name) else { return false };
        match &live.state {
            LiveState::Running { .. } => {
                let state = self.pod.containers.get(&init.name);
                init.sidecar && live.stopping.is_none() && state.is_some_and(|s| s.is_started(init))
            }
            LiveState::Exited { exit, .. } => !init.sidecar && exit.code == 0,
            LiveState::Created => false,
        }
    }

    pub(super) fn backoff_until(&self, container: &Container, now: Timestamp) -> Option<Timestamp> {
        let backoff = self.pod.history(&container.name)?.backoff?;
        backoff.until(self.pod.ended(&container.name)?.finished_at, now)
    }
}
