//! The statuses of a pod's containers, as its node sees them.

use std::collections::BTreeMap;

use gannet_protocols_model as model;
use gannet_protocols_model::{ByteSize, CpuMillis, Resize};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::control::meta;

/// The report that the statuses are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) report: &'a model::PodStatus,
    /// Whether it is on the pod's spec as it is now.
    pub(super) current: bool,
}

impl Seen<'_> {
    /// The statuses of those of the pod's containers that the report speaks of, in the pod's order. A pod whose device
    /// went back may run containers that its spec does not have: they stand at the end.
    pub(super) fn statuses(
        self,
        spec: &[Container],
        reported: &[model::ContainerStatus],
        before: &[ContainerStatus],
    ) -> Vec<ContainerStatus> {
        let before = |name: &str| before.iter().find(|status| status.name == name);
        let own = spec.iter().filter_map(|container| {
            let reported = reported.iter().find(|r| r.name == container.name)?;
            Some(self.status(container, reported, before(&container.name)))
        });
        let is_unknown = |r: &&model::ContainerStatus| {
            self.report.rolled_back.is_some() && spec.iter().all(|container| container.name != r.name)
        };
        let unknown = reported.iter().filter(is_unknown).map(|reported| {
            let container = Container { name: reported.name.clone(), ..Container::default() };
            self.status(&container, reported, before(&reported.name))
        });
        own.chain(unknown).collect()
    }

    fn status(
        self,
        container: &Container,
        reported: &model::ContainerStatus,
        before: Option<&ContainerStatus>,
    ) -> ContainerStatus {
        let mut image = container.image.clone().unwrap_or_default();
        let mut image_id = reported.image_id.map(|digest| pinned(&image, digest)).unwrap_or_default();
        if self.report.rolled_back.is_some() {
            // The spec names an image that does not run. What runs is known by its digest alone.
            image_id = reported.image_id.map(|digest| digest.to_string()).unwrap_or_default();
            image.clone_from(&image_id);
        }
        let id = reported.container_id.as_ref().map(|id| format!("youki://{id}"));
        let id = id.or_else(|| removed(reported, before?));
        let last = reported.last.as_ref().map(|last| {
            let waits = matches!(reported.state, model::ContainerState::Waiting { .. });
            terminated(last, if waits { id.clone() } else { before.and_then(|b| last_id(b, reported, last)) })
        });
        let (resources, allocated) = self.resources(container, reported, before);
        ContainerStatus {
            name: container.name.clone(),
            image_id,
            image,
            ready: reported.ready,
            started: Some(reported.started),
            restart_count: i32::try_from(reported.restart_count).unwrap_or(i32::MAX),
            state: Some(state(&reported.state, id.as_ref())),
            last_state: Some(last.unwrap_or_default()),
            container_id: id,
            resources,
            allocated_resources: allocated,
            ..ContainerStatus::default()
        }
    }

    /// What the container has, and what of it the node keeps for it.
    fn resources(
        self,
        container: &Container,
        reported: &model::ContainerStatus,
        before: Option<&ContainerStatus>,
    ) -> (Option<ResourceRequirements>, Option<BTreeMap<String, Quantity>>) {
        let wanted = container.resources.as_ref().filter(|r| r.requests.is_some() || r.limits.is_some());
        let requests = |r: &ResourceRequirements| r.requests.clone().filter(|r| !r.is_empty());
        match &reported.resources {
            Some(has) => {
                let has = requirements(has, container.resources.as_ref());
                let allocated = match self.report.resize {
                    Some(Resize::InProgress) => wanted.and_then(requests),
                    _ => requests(&has),
                };
                (Some(has), allocated)
            }
            // The node has not heard of the spec yet.
            None if !self.current && before.is_some_and(|before| before.resources.is_some()) => (
                before.and_then(|before| before.resources.clone()),
                before.and_then(|before| before.allocated_resources.clone()),
            ),
            None => (wanted.cloned(), wanted.and_then(requests)),
        }
    }
}

/// What a container has in Kubernetes' form. Devices cannot be resized: they are what the spec says.
fn requirements(has: &model::Resources, spec: Option<&ResourceRequirements>) -> ResourceRequirements {
    let amounts = |cpu: Option<CpuMillis>, memory: Option<ByteSize>, disk: Option<ByteSize>| {
        let amounts = [
            ("cpu", cpu.map(CpuMillis::to_quantity)),
            ("memory", memory.map(ByteSize::to_quantity)),
            ("ephemeral-storage", disk.map(ByteSize::to_quantity)),
        ];
        let amounts =
            amounts.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), Quantity(amount?))));
        amounts.collect::<BTreeMap<_, _>>()
    };
    let with_devices = |mut amounts: BTreeMap<String, Quantity>,
                        spec: Option<&BTreeMap<String, Quantity>>| {
        let devices = spec.into_iter().flatten().filter(|(name, _)| name.contains('/'));
        amounts.extend(devices.map(|(name, amount)| (name.clone(), amount.clone())));
        Some(amounts).filter(|amounts| !amounts.is_empty())
    };
    ResourceRequirements {
        requests: with_devices(
            amounts(has.cpu_request, has.memory_request, has.disk_request),
            spec.and_then(|spec| spec.requests.as_ref()),
        ),
        limits: with_devices(
            amounts(has.cpu_limit, has.memory_limit, has.disk_limit),
            spec.and_then(|spec| spec.limits.as_ref()),
        ),
        ..ResourceRequirements::default()
    }
}

fn state(state: &model::ContainerState, id: Option<&String>) -> ContainerState {
    match state {
        model::ContainerState::Waiting { reason, message } => ContainerState {
            waiting: Some(ContainerStateWaiting {
                reason: Some(reason.clone()).filter(|r| !r.is_empty()),
                message: Some(message.clone()).filter(|m| !m.is_empty()),
            }),
            ..ContainerState::default()
        },
        model::ContainerState::Running { started_at } => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(meta::time(*started_at)) }),
            ..ContainerState::default()
        },
        model::ContainerState::Terminated(t) => terminated(t, id.cloned()),
    }
}

fn terminated(t: &model::Terminated, id: Option<String>) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: t.exit_code,
            signal: t.signal,
            reason: Some(t.reason.clone()),
            message: Some(t.message.clone()).filter(|m| !m.is_empty()),
            started_at: t.started_at.map(meta::time),
            finished_at: Some(meta::time(t.finished_at)),
            container_id: id,
        }),
        ..ContainerState::default()
    }
}

/// The id of a run that ended and that the node has removed: it is known from before.
fn removed(reported: &model::ContainerStatus, before: &ContainerStatus) -> Option<String> {
    let ended = match reported.state {
        model::ContainerState::Waiting { .. } => reported.last.is_some(),
        model::ContainerState::Running { .. } => false,
        model::ContainerState::Terminated(_) => true,
    };
    let same = i32::try_from(reported.restart_count) == Ok(before.restart_count);
    before.container_id.clone().filter(|_| ended && same)
}

/// The id of the run before the one that goes on.
fn last_id(
    before: &ContainerStatus,
    reported: &model::ContainerStatus,
    last: &model::Terminated,
) -> Option<String> {
    let told = before.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    if let Some(told) = told.filter(|told| told.finished_at == Some(meta::time(last.finished_at))) {
        return told.container_id.clone();
    }
    let previous = i32::try_from(reported.restart_count).is_ok_and(|count| before.restart_count + 1 == count);
    before.container_id.clone().filter(|_| previous)
}

/// The image by digest, as container runtimes name what they run.
fn pinned(image: &str, digest: model::Digest) -> String {
    match image.parse::<model::ImageReference>() {
        Ok(reference) => {
            let host = reference.host().map(|host| format!("{host}/")).unwrap_or_default();
            format!("{host}{}@{digest}", reference.path())
        }
        Err(_) => digest.to_string(),
    }
}
