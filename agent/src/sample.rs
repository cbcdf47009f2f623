//! Statuses for tests.

use gannet_protocols_model::{ContainerState, ContainerStatus, Digest, PodPhase, PodStatus};

/// A container that was never restarted and is not ready.
pub(crate) fn container(name: &str, state: ContainerState) -> ContainerStatus {
    ContainerStatus {
        name: name.into(),
        state,
        last: None,
        restart_count: 0,
        ready: false,
        started: false,
        resources: None,
        image_id: None,
        container_id: None,
    }
}

/// The pod `default/web`, running.
pub(crate) fn pod(uid: &str, containers: Vec<ContainerStatus>) -> PodStatus {
    PodStatus {
        uid: uid.parse().unwrap(),
        namespace: "default".into(),
        name: "web".into(),
        manifest: Digest::of(b""),
        phase: PodPhase::Running,
        reason: None,
        message: None,
        ip: None,
        started_at: None,
        rolled_back: None,
        resize: None,
        init_containers: vec![],
        containers,
    }
}
