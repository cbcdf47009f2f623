//! Pod: its STATUS column sums up phase, containers and deletion in one word.

use gannet_protocols_model::Timestamp;
use serde_json::Value;

use crate::column::Column;
use crate::field::{age, at, flag, int, list, name, or_none, seconds_since, text};
use crate::human_duration;

pub(crate) const COLUMNS: &[Column] = &[
    Column::NAME,
    Column::text("Ready", "Number of ready containers out of all."),
    Column::text("Status", "What the pod is doing, or why not."),
    Column::text("Restarts", "How often its containers were restarted, and when last."),
    Column::AGE,
    Column::text("IP", "Address of the pod.").wide(),
    Column::text("Node", "The node that it runs on.").wide(),
    Column::text("Nominated Node", "The node that makes room for it.").wide(),
    Column::text("Readiness Gates", "How many extra conditions of readiness hold.").wide(),
];

pub(crate) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarise(pod);
    let mut restarts = summary.restarts.to_string();
    if summary.restarts > 0
        && let Some(seconds) = summary.last_restart.and_then(|at| seconds_since(at, now))
    {
        restarts = format!("{restarts} ({} ago)", human_duration(seconds));
    }
    let address = match text(pod, &["status", "podIP"]) {
        "" => list(pod, &["status", "podIPs"]).first().map_or("", |ip| text(ip, &["ip"])),
        address => address,
    };
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.status.into(),
        restarts.into(),
        age(pod, now),
        or_none(address).into(),
        or_none(text(pod, &["spec", "nodeName"])).into(),
        or_none(text(pod, &["status", "nominatedNodeName"])).into(),
        readiness_gates(pod).into(),
    ]
}

struct Summary<'a> {
    status: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<&'a str>,
}

impl<'a> Summary<'a> {
    fn count_restarts(&mut self, status: &'a Value) {
        self.restarts += int(status, &["restartCount"]);
        let finished = text(status, &["lastState", "terminated", "finishedAt"]);
        if !finished.is_empty() {
            // RFC 3339 in UTC with seconds: later is greater.
            self.last_restart = self.last_restart.max(Some(finished));
        }
    }
}

fn summarise(pod: &Value) -> Summary<'_> {
    let phase = text(pod, &["status", "phase"]);
    let mut summary = Summary {
        status: match text(pod, &["status", "reason"]) {
            "" => phase.to_owned(),
            reason => reason.to_owned(),
        },
        ready: 0,
        total: list(pod, &["spec", "containers"]).len(),
        restarts: 0,
        last_restart: None,
    };
    let gated = list(pod, &["status", "conditions"])
        .iter()
        .any(|c| text(c, &["type"]) == "PodScheduled" && text(c, &["reason"]) == "SchedulingGated");
    if gated {
        "SchedulingGated".clone_into(&mut summary.status);
    }
    let initializing = init_containers(pod, &mut summary);
    if !initializing || is_initialized(pod) {
        containers(pod, &mut summary, phase);
    }
    // Why a pod was ended as a whole says more than how its containers took it.
    let reason = text(pod, &["status", "reason"]);
    if phase == "Failed" && !reason.is_empty() {
        reason.clone_into(&mut summary.status);
    }
    if !text(pod, &["metadata", "deletionTimestamp"]).is_empty() {
        if text(pod, &["status", "reason"]) == "NodeLost" {
            "Unknown".clone_into(&mut summary.status);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.status);
        }
    }
    summary
}

/// Whether an init container has not done its part yet; says so in the status.
fn init_containers<'a>(pod: &'a Value, summary: &mut Summary<'a>) -> bool {
    let specs = list(pod, &["spec", "initContainers"]);
    let is_sidecar = |status: &Value| {
        let spec = specs.iter().find(|spec| text(spec, &["name"]) == text(status, &["name"]));
        spec.is_some_and(|spec| text(spec, &["restartPolicy"]) == "Always")
    };
    summary.total += specs.iter().filter(|spec| text(spec, &["restartPolicy"]) == "Always").count();
    let mut initializing = false;
    for (index, status) in list(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        summary.count_restarts(status);
        let terminated = at(status, &["state", "terminated"]);
        let waiting = text(status, &["state", "waiting", "reason"]);
        if terminated.is_object() && int(terminated, &["exitCode"]) == 0 {
            continue;
        }
        if is_sidecar(status) && flag(status, &["started"]) {
            summary.ready += usize::from(flag(status, &["ready"]));
            continue;
        }
        if initializing {
            continue;
        }
        initializing = true;
        summary.status = if terminated.is_object() {
            format!("Init:{}", ended(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", specs.len())
        };
    }
    initializing
}

fn is_initialized(pod: &Value) -> bool {
    list(pod, &["status", "conditions"])
        .iter()
        .any(|c| text(c, &["type"]) == "Initialized" && text(c, &["status"]) == "True")
}

fn containers<'a>(pod: &'a Value, summary: &mut Summary<'a>, phase: &str) {
    let mut running = false;
    for status in list(pod, &["status", "containerStatuses"]).iter().rev() {
        summary.count_restarts(status);
        let waiting = text(status, &["state", "waiting", "reason"]);
        let terminated = at(status, &["state", "terminated"]);
        if !waiting.is_empty() {
            waiting.clone_into(&mut summary.status);
        } else if terminated.is_object() {
            summary.status = ended(terminated);
        } else if flag(status, &["ready"]) && at(status, &["state", "running"]).is_object() {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.status == "Completed" && running {
        let ready = list(pod, &["status", "conditions"])
            .iter()
            .any(|c| text(c, &["type"]) == "Ready" && text(c, &["status"]) == "True");
        summary.status = if ready { "Running" } else { "NotReady" }.to_owned();
    }
    if summary.status.is_empty() {
        phase.clone_into(&mut summary.status);
    }
}

/// Why a container ended, in one word.
fn ended(terminated: &Value) -> String {
    match (text(terminated, &["reason"]), int(terminated, &["signal"])) {
        ("", 0) => format!("ExitCode:{}", int(terminated, &["exitCode"])),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, &["spec", "readinessGates"]);
    if gates.is_empty() {
        return or_none("");
    }
    let holds = |gate: &&Value| {
        list(pod, &["status", "conditions"])
            .iter()
            .any(|c| text(c, &["type"]) == text(gate, &["conditionType"]) && text(c, &["status"]) == "True")
    };
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
}
