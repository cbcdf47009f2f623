//! From what a node sees of a pod to Kubernetes' `status`.

use gannet_protocols_model as model;
use gannet_protocols_model::{PodPhase, Timestamp};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Node, Pod, PodIP, PodStatus,
};

use super::pods_ready::{NODE_NOT_READY, NODE_NOT_READY_MESSAGE};
use crate::control::{meta, pod_template};

/// `status.phase`.
pub(super) fn phase(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
    }
}

/// The pod's status after the report. What the report does not speak of is kept.
pub(super) fn status(pod: &Pod, report: &model::PodStatus, node: Option<&Node>, now: Timestamp) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut status = pod.status.clone().unwrap_or_default();
    status.phase = Some(phase(report.phase).to_owned());
    status.reason = report.reason.clone();
    status.message = report.message.clone();
    status.qos_class.get_or_insert_with(|| pod_template::qos_class(&spec).to_owned());
    if let Some(host) = node.and_then(super::internal_ip) {
        status.host_ip = Some(host.to_owned());
        status.host_ips = Some(vec![HostIP { ip: host.to_owned() }]);
    }
    if let Some(ip) = report.ip {
        status.pod_ip = Some(ip.to_string());
        status.pod_ips = Some(vec![PodIP { ip: ip.to_string() }]);
    }
    if status.start_time.is_none() {
        status.start_time = report.started_at.map(meta::time);
    }
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let init_statuses = containers(inits, &report.init_containers);
    status.init_container_statuses = (!init_statuses.is_empty()).then_some(init_statuses);
    status.container_statuses = Some(containers(&spec.containers, &report.containers));
    set_conditions(&mut status, pod, report, node, now);
    status
}

fn set_conditions(
    status: &mut PodStatus,
    pod: &Pod,
    report: &model::PodStatus,
    node: Option<&Node>,
    now: Timestamp,
) {
    let ended = match report.phase {
        PodPhase::Succeeded => Some("PodCompleted"),
        PodPhase::Failed => Some("PodFailed"),
        _ => None,
    };
    let is_done = |c: &model::ContainerStatus| {
        matches!(&c.state, model::ContainerState::Terminated(t) if t.exit_code == 0)
            // A sidecar among the init containers never ends: it is enough that it has started.
            || (c.started && matches!(c.state, model::ContainerState::Running { .. }) && is_sidecar(pod, &c.name))
    };
    let open: Vec<&str> =
        report.init_containers.iter().filter(|c| !is_done(c)).map(|c| c.name.as_str()).collect();
    let unready: Vec<&str> = report.containers.iter().filter(|c| !c.ready).map(|c| c.name.as_str()).collect();

    let started = report.phase != PodPhase::Pending;
    let initialized = open.is_empty() || started;
    let containers_ready = ended.is_none() && started && unready.is_empty() && !report.containers.is_empty();
    let not_initialized = format!("containers with incomplete status: [{}]", open.join(" "));
    let not_ready = format!("containers with unready status: [{}]", unready.join(" "));
    let why_not_ready = match ended {
        Some(reason) => (reason, ""),
        None => ("ContainersNotReady", not_ready.as_str()),
    };
    let why_not_initialized = ("ContainersNotInitialized", not_initialized.as_str());
    let node_ready = node.is_some_and(super::is_node_ready);
    let gates = pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    let closed: Vec<&str> = gates
        .map(|gate| gate.condition_type.as_str())
        .filter(|gate| meta::condition(pod, gate).is_none_or(|c| c.status != "True"))
        .collect();
    let gates_closed = format!(
        "corresponding condition of pod readiness gate {:?} does not exist or does not hold.",
        closed.join(" ")
    );
    let why = if !containers_ready {
        Some(why_not_ready)
    } else if !closed.is_empty() {
        Some(("ReadinessGatesNotReady", gates_closed.as_str()))
    } else if !node_ready {
        Some((NODE_NOT_READY, NODE_NOT_READY_MESSAGE))
    } else {
        None
    };

    let conditions = status.conditions.get_or_insert_default();
    meta::set_condition(
        conditions,
        "PodReadyToStartContainers",
        report.ip.is_some() && ended.is_none(),
        None,
        now,
    );
    meta::set_condition(
        conditions,
        "Initialized",
        initialized,
        (!initialized).then_some(why_not_initialized),
        now,
    );
    meta::set_condition(conditions, "Ready", why.is_none(), why, now);
    let why = (!containers_ready).then_some(why_not_ready);
    meta::set_condition(conditions, "ContainersReady", containers_ready, why, now);
    meta::set_condition(conditions, "PodScheduled", true, None, now);
}

fn is_sidecar(pod: &Pod, name: &str) -> bool {
    let mut inits = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
    inits.any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
}

/// The statuses of those of the pod's containers that the report speaks of, in the pod's order.
fn containers(spec: &[Container], reported: &[model::ContainerStatus]) -> Vec<ContainerStatus> {
    spec.iter()
        .filter_map(|container| Some((container, reported.iter().find(|r| r.name == container.name)?)))
        .map(|(container, reported)| container_status(container, reported))
        .collect()
}

fn container_status(container: &Container, reported: &model::ContainerStatus) -> ContainerStatus {
    let image = container.image.clone().unwrap_or_default();
    let id = reported.container_id.as_ref().map(|id| format!("youki://{id}"));
    let terminated = |t: &model::Terminated, id: Option<String>| ContainerState {
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
    };
    let state = match &reported.state {
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
        model::ContainerState::Terminated(t) => terminated(t, id.clone()),
    };
    ContainerStatus {
        name: container.name.clone(),
        image_id: reported.image_id.map(|digest| pinned(&image, digest)).unwrap_or_default(),
        image,
        container_id: id,
        ready: reported.ready,
        started: Some(reported.started),
        restart_count: i32::try_from(reported.restart_count).unwrap_or(i32::MAX),
        state: Some(state),
        last_state: Some(reported.last.as_ref().map(|last| terminated(last, None)).unwrap_or_default()),
        ..ContainerStatus::default()
    }
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
