//! Resizes in place: whether a running container has other resources than its manifest gives it, and what is told of that.

use gannet_protocols_model::{Container, Manifest, Resize, Resources};

use crate::observed::{Live, ObservedPod};

/// A change that a running container still has to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    /// What it has.
    pub(crate) has: Resources,
    /// Its `resizePolicy` wants a restart for that.
    pub(crate) restarts: bool,
}

/// What has to change of a running container's CPU and memory, if anything. Disk is no part of its cgroup.
pub(crate) fn resize(pod: &ObservedPod, container: &Container) -> Option<Pending> {
    pod.live(&container.name).filter(|l| l.is_running())?;
    let has = pod.history(&container.name)?.resources?;
    let wants = &container.resources;
    let cpu = (has.cpu_request, has.cpu_limit) != (wants.cpu_request, wants.cpu_limit);
    let memory = (has.memory_request, has.memory_limit) != (wants.memory_request, wants.memory_limit);
    let policy = container.resize_restarts;
    (cpu || memory).then_some(Pending { has, restarts: cpu && policy.cpu || memory && policy.memory })
}

/// How far the pod's resizes are.
pub(crate) fn progress(pod: &ObservedPod, manifest: &Manifest) -> Option<Resize> {
    let stopping = |name: &str| pod.live(name).is_some_and(|l: &Live| l.stopping.is_some());
    let mut found = None;
    for container in manifest.all_containers() {
        if resize(pod, container).is_none() || stopping(&container.name) {
            continue;
        }
        match pod.containers.get(&container.name).and_then(|c| c.resize.as_ref()) {
            Some(failure) if failure.reason == INFEASIBLE => {
                return Some(Resize::Infeasible(failure.message.clone()));
            }
            Some(failure) => found = Some(Resize::Deferred(failure.message.clone())),
            None => found = found.or(Some(Resize::InProgress)),
        }
    }
    found
}

/// The reason of a resize that this node can never give.
pub(crate) const INFEASIBLE: &str = "ResizeInfeasible";
/// The reason of one that may come through later.
pub(crate) const DEFERRED: &str = "ResizeDeferred";
