//! The conditions of a pod, as its node's reports make them. Those that other clients set are left alone.

use gannet_protocols_model as model;
use gannet_protocols_model::{PodPhase, Resize, RolledBack, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, PodStatus};

use super::{pods_ready, status};
use crate::control::meta;

const PENDING: &str = "PodResizePending";
const IN_PROGRESS: &str = "PodResizeInProgress";
/// The most characters of a rollback's message: some lines of a log.
const MAX_MESSAGE: usize = 4096;

/// Brings the conditions up to a report.
pub(super) fn set(
    of: &mut PodStatus,
    pod: &Pod,
    report: &model::PodStatus,
    node: Option<&Node>,
    now: Timestamp,
) {
    let conditions = of.conditions.get_or_insert_default();
    set_readiness(conditions, pod, report, node, now);
    set_resize(conditions, report.resize.as_ref(), now);
    set_rolled_back(conditions, report.rolled_back.as_ref(), now);
    if report.phase == PodPhase::Failed && report.reason.as_deref() == Some("Evicted") {
        let why = report.message.as_deref().unwrap_or_default();
        meta::set_condition(conditions, "DisruptionTarget", true, Some(("TerminationByKubelet", why)), now);
    }
}

fn set_readiness(
    conditions: &mut Vec<PodCondition>,
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
            || (c.started && is_sidecar(pod, &c.name))
    };
    let open: Vec<&str> =
        report.init_containers.iter().filter(|c| !is_done(c)).map(|c| c.name.as_str()).collect();
    let sidecars = report.init_containers.iter().filter(|c| is_sidecar(pod, &c.name));
    let unready = sidecars.chain(&report.containers).filter(|c| !c.ready);
    let unready: Vec<&str> = unready.map(|c| c.name.as_str()).collect();

    let started = report.phase != PodPhase::Pending;
    // A pod that failed proves nothing: an init container that failed ends it, too.
    let begun = match report.phase {
        PodPhase::Running | PodPhase::Succeeded => true,
        PodPhase::Pending => false,
        PodPhase::Failed => {
            report.containers.iter().any(|c| !matches!(c.state, model::ContainerState::Waiting { .. }))
        }
    };
    let initialized = open.is_empty() || begun;
    let containers_ready = ended.is_none() && started && unready.is_empty() && !report.containers.is_empty();
    let not_ready = format!("containers with unready status: [{}]", unready.join(" "));
    let why_not_ready = match ended {
        Some(reason) => (reason, ""),
        None => ("ContainersNotReady", not_ready.as_str()),
    };
    let not_initialized = format!("containers with incomplete status: [{}]", open.join(" "));
    let why_initialized = match report.phase {
        _ if !initialized => Some(("ContainersNotInitialized", not_initialized.as_str())),
        PodPhase::Succeeded => Some(("PodCompleted", "")),
        _ => None,
    };
    let ready = if containers_ready {
        pods_ready::verdict(pod, node.is_some_and(super::is_node_ready))
    } else {
        Err((why_not_ready.0, why_not_ready.1.to_owned()))
    };
    let prepared = status::is_prepared(pod, report) && ended.is_none();
    meta::set_condition(conditions, "PodReadyToStartContainers", prepared, None, now);
    meta::set_condition(conditions, "Initialized", initialized, why_initialized, now);
    pods_ready::set_ready(conditions, &ready, now);
    let why = (!containers_ready).then_some(why_not_ready);
    meta::set_condition(conditions, "ContainersReady", containers_ready, why, now);
    meta::set_condition(conditions, "PodScheduled", true, None, now);
}

fn set_resize(conditions: &mut Vec<PodCondition>, resize: Option<&Resize>, now: Timestamp) {
    let (pending, in_progress) = match resize {
        None => (None, false),
        Some(Resize::InProgress) => (None, true),
        Some(Resize::Deferred(why)) => (Some(("Deferred", why.as_str())), false),
        Some(Resize::Infeasible(why)) => (Some(("Infeasible", why.as_str())), false),
    };
    match pending {
        Some(_) => meta::set_condition(conditions, PENDING, true, pending, now),
        None => conditions.retain(|c| c.type_ != PENDING),
    }
    if in_progress {
        meta::set_condition(conditions, IN_PROGRESS, true, None, now);
    } else {
        conditions.retain(|c| c.type_ != IN_PROGRESS);
    }
}

/// The condition is there as long as the pod runs another manifest than its own; it begins when the device said so.
fn set_rolled_back(conditions: &mut Vec<PodCondition>, rolled_back: Option<&RolledBack>, now: Timestamp) {
    let Some(rolled_back) = rolled_back else {
        return conditions.retain(|c| c.type_ != meta::ROLLED_BACK);
    };
    let message = went_back(rolled_back);
    let since = rolled_back.at.min(now);
    meta::set_condition(conditions, meta::ROLLED_BACK, true, Some((&rolled_back.reason, &message)), since);
}

/// What is said of a rollback.
pub(super) fn went_back(rolled_back: &RolledBack) -> String {
    let text = format!("the device gave up manifest {} at {}", rolled_back.failed, rolled_back.at);
    let text = format!("{text} and runs the one before: {}", rolled_back.message);
    text.chars().take(MAX_MESSAGE).collect()
}

fn is_sidecar(pod: &Pod, name: &str) -> bool {
    let mut inits = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
    inits.any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
}
