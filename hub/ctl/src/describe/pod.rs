//! Pods.

use serde_json::Value;

use super::container::container;
use super::page::{Page, shown};
use super::time::time;
use super::volume::volumes;
use crate::resource::text;

/// A pod, without its events.
pub(super) fn pod(page: &mut Page, pod: &Value) {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    page.field(0, "Name", text(pod, "/metadata/name"));
    page.field(0, "Namespace", text(pod, "/metadata/namespace"));
    page.field(0, "Priority", spec["priority"].as_i64().unwrap_or(0).to_string());
    page.field_if(0, "Priority Class Name", text(spec, "/priorityClassName"));
    page.field_if(0, "Service Account", text(spec, "/serviceAccountName"));
    let node = match (text(spec, "/nodeName"), text(status, "/hostIP")) {
        ("", _) => "<none>".to_owned(),
        (node, "") => node.to_owned(),
        (node, ip) => format!("{node}/{ip}"),
    };
    page.field(0, "Node", node);
    page.field_if(0, "Start Time", time(text(status, "/startTime")));
    page.map(0, "Labels", &pod["metadata"]["labels"], "=");
    page.map(0, "Annotations", &pod["metadata"]["annotations"], ": ");
    if pod["metadata"]["deletionTimestamp"].is_string() {
        let since = time(text(pod, "/metadata/deletionTimestamp"));
        page.field(0, "Status", format!("Terminating (until {since})"));
        let grace = shown(&pod["metadata"]["deletionGracePeriodSeconds"]);
        page.field(0, "Termination Grace Period", format!("{grace}s"));
    } else {
        page.field(0, "Status", text(status, "/phase"));
    }
    page.field_if(0, "Reason", text(status, "/reason"));
    page.field_if(0, "Message", text(status, "/message"));
    page.field(0, "IP", text(status, "/podIP"));
    match status["podIPs"].as_array().filter(|ips| !ips.is_empty()) {
        None => page.field(0, "IPs", "<none>"),
        Some(ips) => {
            page.heading(0, "IPs");
            ips.iter().for_each(|ip| page.field(2, "IP", text(ip, "/ip")));
        }
    }
    owner(page, pod);
    for (heading, list, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
    ] {
        let containers = spec[list].as_array().map(Vec::as_slice).unwrap_or_default();
        if containers.is_empty() {
            continue;
        }
        page.heading(0, heading);
        for one in containers {
            let mut all = status[statuses].as_array().into_iter().flatten();
            let unknown = Value::Object(serde_json::Map::new());
            container(page, 2, one, all.find(|s| s["name"] == one["name"]).unwrap_or(&unknown));
        }
    }
    if let Some(conditions) = status["conditions"].as_array().filter(|c| !c.is_empty()) {
        page.heading(0, "Conditions");
        page.line(2, &["Type", "Status"]);
        conditions.iter().for_each(|c| page.line(2, &[text(c, "/type"), text(c, "/status")]));
    }
    volumes(page, 0, spec);
    page.field_if(0, "QoS Class", text(status, "/qosClass"));
    placement(page, 0, spec);
}

/// What the object belongs to.
pub(super) fn owner(page: &mut Page, object: &Value) {
    let mut owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if let Some(owner) = owners.find(|o| o["controller"] == true) {
        page.field(0, "Controlled By", format!("{}/{}", text(owner, "/kind"), text(owner, "/name")));
    }
}

/// Which nodes will do.
pub(super) fn placement(page: &mut Page, indent: usize, spec: &Value) {
    page.map(indent, "Node-Selectors", &spec["nodeSelector"], "=");
    let tolerations = spec["tolerations"].as_array().into_iter().flatten().map(toleration);
    page.values_or_none(indent, "Tolerations", tolerations.collect());
}

fn toleration(toleration: &Value) -> String {
    let mut shown = text(toleration, "/key").to_owned();
    let value = text(toleration, "/value");
    if !value.is_empty() {
        shown = format!("{shown}={value}");
    }
    let effect = text(toleration, "/effect");
    if !effect.is_empty() {
        shown = format!("{shown}:{effect}");
    }
    if text(toleration, "/operator") == "Exists" && value.is_empty() {
        shown = format!("{shown} op=Exists").trim_start().to_owned();
    }
    match toleration["tolerationSeconds"].as_i64() {
        Some(seconds) => format!("{shown} for {seconds}s"),
        None => shown,
    }
}
