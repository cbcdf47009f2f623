//! Nodes.

use serde_json::Value;

use super::page::{Page, shown};
use super::time::time;
use crate::resource::text;

/// A node, and the pods that are bound to it.
pub(super) fn node(page: &mut Page, node: &Value, pods: &[Value]) {
    let (spec, status) = (&node["spec"], &node["status"]);
    page.field(0, "Name", text(node, "/metadata/name"));
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles = labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
    let roles: Vec<&str> = roles.collect();
    page.field(0, "Roles", if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") });
    page.map(0, "Labels", &node["metadata"]["labels"], "=");
    page.map(0, "Annotations", &node["metadata"]["annotations"], ": ");
    page.field(0, "CreationTimestamp", time(text(node, "/metadata/creationTimestamp")));
    let taints = spec["taints"].as_array().into_iter().flatten().map(|taint| {
        let value = Some(text(taint, "/value")).filter(|v| !v.is_empty());
        let value = value.map(|v| format!("={v}")).unwrap_or_default();
        format!("{}{value}:{}", text(taint, "/key"), text(taint, "/effect"))
    });
    page.values_or_none(0, "Taints", taints.collect());
    page.field(0, "Unschedulable", (spec["unschedulable"] == true).to_string());
    if let Some(conditions) = status["conditions"].as_array().filter(|c| !c.is_empty()) {
        page.heading(0, "Conditions");
        page.line(2, &["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"]);
        page.line(2, &["----", "------", "-----------------", "------------------", "------", "-------"]);
        for c in conditions {
            let times = ["/lastHeartbeatTime", "/lastTransitionTime"].map(|at| time(text(c, at)));
            let [kind, is, reason, message] =
                ["/type", "/status", "/reason", "/message"].map(|field| text(c, field));
            page.line(2, &[kind, is, &times[0], &times[1], reason, message]);
        }
    }
    if let Some(addresses) = status["addresses"].as_array().filter(|a| !a.is_empty()) {
        page.heading(0, "Addresses");
        addresses.iter().for_each(|a| page.field(2, text(a, "/type"), text(a, "/address")));
    }
    for (name, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        if let Some(amounts) = status[field].as_object().filter(|a| !a.is_empty()) {
            page.heading(0, name);
            amounts.iter().for_each(|(resource, amount)| page.field(2, resource, shown(amount)));
        }
    }
    if let Some(info) = status["nodeInfo"].as_object() {
        page.heading(0, "System Info");
        for (name, field) in [
            ("Machine ID", "machineID"),
            ("System UUID", "systemUUID"),
            ("Boot ID", "bootID"),
            ("Kernel Version", "kernelVersion"),
            ("OS Image", "osImage"),
            ("Operating System", "operatingSystem"),
            ("Architecture", "architecture"),
            ("Container Runtime Version", "containerRuntimeVersion"),
            ("Kubelet Version", "kubeletVersion"),
        ] {
            page.field(1, name, info.get(field).map(shown).unwrap_or_default());
        }
    }
    page.field_if(0, "PodCIDR", text(spec, "/podCIDR"));
    bound(page, pods);
}

fn bound(page: &mut Page, pods: &[Value]) {
    let ended = |pod: &&Value| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let pods: Vec<&Value> = pods.iter().filter(|pod| !ended(pod)).collect();
    page.field(0, "Non-terminated Pods", format!("({} in total)", pods.len()));
    if pods.is_empty() {
        return;
    }
    page.line(2, &["Namespace", "Name", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits"]);
    page.line(2, &["---------", "----", "------------", "----------", "---------------", "-------------"]);
    for pod in pods {
        let sum = |pointer: &str| {
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let amounts: Vec<String> = containers.filter_map(|c| c.pointer(pointer)).map(shown).collect();
            if amounts.is_empty() { "0".to_owned() } else { amounts.join("+") }
        };
        let amounts = ["requests/cpu", "limits/cpu", "requests/memory", "limits/memory"];
        let amounts = amounts.map(|what| sum(&format!("/resources/{what}")));
        let mut cells = vec![text(pod, "/metadata/namespace"), text(pod, "/metadata/name")];
        cells.extend(amounts.iter().map(String::as_str));
        page.line(2, &cells);
    }
}
