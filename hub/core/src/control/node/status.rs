//! From what a node sees of a pod to Kubernetes' `status`.

use gannet_protocols_model as model;
use gannet_protocols_model::{PodPhase, Resize, Timestamp};
use k8s_openapi::api::core::v1::{HostIP, Node, Pod, PodIP, PodStatus};

use super::{conditions, containers};
use crate::control::{meta, pod_template};

/// `status.reason` of a pod whose device went back to the manifest before: what `kubectl get pods` and `describe` show.
const ROLLED_BACK: &str = "RolledBack";

/// `status.phase`.
pub(super) fn phase(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
    }
}

/// The pod's status after the report. What the report does not speak of is kept. `current` says whether the report is on
/// the pod's spec as it is now, and not on one from before a change that the node has yet to hear of.
pub(super) fn status(
    pod: &Pod,
    report: &model::PodStatus,
    current: bool,
    node: Option<&Node>,
    now: Timestamp,
) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut status = pod.status.clone().unwrap_or_default();
    status.phase = Some(phase(report.phase).to_owned());
    status.reason.clone_from(&report.reason);
    status.message.clone_from(&report.message);
    if let Some(rolled_back) = report.rolled_back.as_ref().filter(|_| report.reason.is_none()) {
        status.reason = Some(ROLLED_BACK.to_owned());
        status.message = Some(conditions::went_back(rolled_back));
    }
    status.resize = report.resize.as_ref().map(|resize| {
        let word = match resize {
            Resize::InProgress => "InProgress",
            Resize::Deferred(_) => "Deferred",
            Resize::Infeasible(_) => "Infeasible",
        };
        word.to_owned()
    });
    status.qos_class.get_or_insert_with(|| pod_template::qos_class(&spec).to_owned());
    if let Some(host) = node.and_then(super::internal_ip) {
        status.host_ip = Some(host.to_owned());
        status.host_ips = Some(vec![HostIP { ip: host.to_owned() }]);
    }
    // A pod on its node's network has no address but that of the node.
    let shared =
        status.host_ip.clone().filter(|_| spec.host_network == Some(true) && is_prepared(pod, report));
    if let Some(ip) = report.ip.map(|ip| ip.to_string()).or(shared) {
        status.pod_ips = Some(vec![PodIP { ip: ip.clone() }]);
        status.pod_ip = Some(ip);
    }
    if status.start_time.is_none() {
        status.start_time = report.started_at.map(meta::time);
    }
    let seen = containers::Seen { report, current };
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let before = status.init_container_statuses.take().unwrap_or_default();
    let inits = seen.statuses(inits, &report.init_containers, &before);
    status.init_container_statuses = (!inits.is_empty()).then_some(inits);
    let before = status.container_statuses.take().unwrap_or_default();
    status.container_statuses = Some(seen.statuses(&spec.containers, &report.containers, &before));
    conditions::set(&mut status, pod, report, node, now);
    status
}

/// Whether the pod's namespaces and volumes are there, so that its containers can be started.
pub(super) fn is_prepared(pod: &Pod, report: &model::PodStatus) -> bool {
    let shares = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    let has_run = |c: &model::ContainerStatus| !matches!(c.state, model::ContainerState::Waiting { .. });
    report.ip.is_some() || (shares && report.init_containers.iter().chain(&report.containers).any(has_run))
}

#[cfg(test)]
#[path = "status_test.rs"]
mod tests;
