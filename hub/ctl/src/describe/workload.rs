//! Deployments and ReplicaSets.

use serde_json::Value;

use super::container::container;
use super::page::{Page, shown};
use super::pod::{owner, placement};
use super::time::time;
use super::volume::volumes;
use crate::resource::text;
use crate::rollout::selector;

/// A Deployment; `sets` are ReplicaSets with its labels.
pub(super) fn deployment(page: &mut Page, deployment: &Value, sets: &[Value]) {
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    page.field(0, "Name", text(deployment, "/metadata/name"));
    page.field(0, "Namespace", text(deployment, "/metadata/namespace"));
    page.field(0, "CreationTimestamp", time(text(deployment, "/metadata/creationTimestamp")));
    page.map(0, "Labels", &deployment["metadata"]["labels"], "=");
    page.map(0, "Annotations", &deployment["metadata"]["annotations"], ": ");
    page.field(0, "Selector", selector(deployment));
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    page.field(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            spec["replicas"].as_i64().unwrap_or(1),
            count("updatedReplicas"),
            count("replicas"),
            count("availableReplicas"),
            count("unavailableReplicas"),
        ),
    );
    page.field(0, "StrategyType", text(spec, "/strategy/type"));
    page.field(0, "MinReadySeconds", spec["minReadySeconds"].as_i64().unwrap_or(0).to_string());
    let rolling = &spec["strategy"]["rollingUpdate"];
    if rolling.is_object() {
        let (unavailable, surge) = (shown(&rolling["maxUnavailable"]), shown(&rolling["maxSurge"]));
        page.field(0, "RollingUpdateStrategy", format!("{unavailable} max unavailable, {surge} max surge"));
    }
    template(page, &spec["template"]);
    if let Some(conditions) = status["conditions"].as_array().filter(|c| !c.is_empty()) {
        page.heading(0, "Conditions");
        page.line(2, &["Type", "Status", "Reason"]);
        page.line(2, &["----", "------", "------"]);
        for c in conditions {
            page.line(2, &[text(c, "/type"), text(c, "/status"), text(c, "/reason")]);
        }
    }
    let revision = |object: &Value| {
        let revision = object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
        revision.and_then(|r| r.parse::<u64>().ok())
    };
    let owned = sets.iter().filter(|set| {
        let mut owners = set["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|o| o["uid"] == deployment["metadata"]["uid"])
    });
    let (new, old): (Vec<&Value>, Vec<&Value>) = owned.partition(|set| revision(set) == revision(deployment));
    for (name, sets) in [("OldReplicaSets", old), ("NewReplicaSet", new)] {
        let sets = sets.iter().map(|set| {
            let count = |pointer: &str| set.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
            let (there, wanted) = (count("/status/replicas"), count("/spec/replicas"));
            format!("{} ({there}/{wanted} replicas created)", text(set, "/metadata/name"))
        });
        let sets: Vec<String> = sets.collect();
        page.field(0, name, if sets.is_empty() { "<none>".to_owned() } else { sets.join(", ") });
    }
}

/// A ReplicaSet; `pods` are those with its labels.
pub(super) fn replica_set(page: &mut Page, set: &Value, pods: &[Value]) {
    let count = |pointer: &str| set.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    page.field(0, "Name", text(set, "/metadata/name"));
    page.field(0, "Namespace", text(set, "/metadata/namespace"));
    page.field(0, "Selector", selector(set));
    page.map(0, "Labels", &set["metadata"]["labels"], "=");
    page.map(0, "Annotations", &set["metadata"]["annotations"], ": ");
    owner(page, set);
    let replicas = format!("{} current / {} desired", count("/status/replicas"), count("/spec/replicas"));
    page.field(0, "Replicas", replicas);
    let own = |pod: &&Value| {
        let mut owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|o| o["uid"] == set["metadata"]["uid"])
    };
    let phase = |phase: &str| pods.iter().filter(own).filter(|p| text(p, "/status/phase") == phase).count();
    let [running, waiting, succeeded, failed] = ["Running", "Pending", "Succeeded", "Failed"].map(phase);
    let phases = format!("{running} Running / {waiting} Waiting / {succeeded} Succeeded / {failed} Failed");
    page.field(0, "Pods Status", phases);
    template(page, &set["spec"]["template"]);
}

/// A pod template.
pub(super) fn template(page: &mut Page, template: &Value) {
    let spec = &template["spec"];
    page.heading(0, "Pod Template");
    page.map(2, "Labels", &template["metadata"]["labels"], "=");
    if template["metadata"]["annotations"].as_object().is_some_and(|a| !a.is_empty()) {
        page.map(2, "Annotations", &template["metadata"]["annotations"], ": ");
    }
    page.field_if(2, "Service Account", text(spec, "/serviceAccountName"));
    for (heading, list) in [("Init Containers", "initContainers"), ("Containers", "containers")] {
        let containers = spec[list].as_array().map(Vec::as_slice).unwrap_or_default();
        if !containers.is_empty() {
            page.heading(2, heading);
            containers.iter().for_each(|one| container(page, 3, one, &Value::Null));
        }
    }
    volumes(page, 2, spec);
    page.field_if(2, "Priority Class Name", text(spec, "/priorityClassName"));
    placement(page, 2, spec);
}
