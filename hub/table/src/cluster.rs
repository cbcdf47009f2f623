//! Node, Namespace, Event and Lease.

use gannet_protocols_model::Timestamp;
use serde_json::Value;

use crate::column::Column;
use crate::field::{NONE, UNKNOWN, age, at, flag, int, list, map, name, or_none, since, text};

pub(crate) const NODE: &[Column] = &[
    Column::NAME,
    Column::text("Status", "Whether the node is ready for pods."),
    Column::text("Roles", "Roles of the node."),
    Column::AGE,
    Column::text("Version", "Version of the agent."),
    Column::text("Internal-IP", "Address inside the cluster.").wide(),
    Column::text("External-IP", "Address outside the cluster.").wide(),
    Column::text("OS-Image", "Operating system.").wide(),
    Column::text("Kernel-Version", "Kernel.").wide(),
    Column::text("Container-Runtime", "Container runtime and its version.").wide(),
];

pub(crate) const NAMESPACE: &[Column] =
    &[Column::NAME, Column::text("Status", "Active or Terminating."), Column::AGE];

pub(crate) const EVENT: &[Column] = &[
    Column::text("Last Seen", "Time since the event was last seen."),
    Column::text("Type", "Normal or Warning."),
    Column::text("Reason", "In one word."),
    Column::text("Object", "The object that it is about."),
    Column::text("Subobject", "The part of that object.").wide(),
    Column::text("Source", "Who reports it.").wide(),
    Column::text("Message", "In a sentence."),
    Column::text("First Seen", "Time since the event was first seen.").wide(),
    Column::count("Count", "How many times it was seen.").wide(),
    Column { name: "Name", kind: "string", format: "name", description: "Name of the event.", priority: 1 },
];

pub(crate) const LEASE: &[Column] =
    &[Column::NAME, Column::text("Holder", "Who holds the lease."), Column::AGE];

pub(crate) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut status = match condition(object, "Ready") {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if flag(object, &["spec", "unschedulable"]) {
        status.push_str(",SchedulingDisabled");
    }
    let info = |field: &str| text(object, &["status", "nodeInfo", field]);
    let or_unknown = |text: &str| if text.is_empty() { UNKNOWN.to_owned() } else { text.to_owned() };
    vec![
        name(object),
        status.into(),
        roles(object).into(),
        age(object, now),
        info("kubeletVersion").into(),
        address(object, "InternalIP").into(),
        address(object, "ExternalIP").into(),
        or_unknown(info("osImage")).into(),
        or_unknown(info("kernelVersion")).into(),
        or_unknown(info("containerRuntimeVersion")).into(),
    ]
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    list(object, &["status", "conditions"])
        .iter()
        .find(|c| text(c, &["type"]) == kind)
        .map(|c| text(c, &["status"]))
}

fn address(object: &Value, kind: &str) -> String {
    let found = list(object, &["status", "addresses"]).iter().find(|a| text(a, &["type"]) == kind);
    found.map_or_else(|| NONE.to_owned(), |a| text(a, &["address"]).to_owned())
}

fn roles(object: &Value) -> String {
    const PREFIX: &str = "node-role.kubernetes.io/";
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in map(object, &["metadata", "labels"]).into_iter().flatten() {
        if let Some(role) = key.strip_prefix(PREFIX) {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.push(value.as_str().unwrap_or_default());
        }
    }
    roles.retain(|role| !role.is_empty());
    roles.sort_unstable();
    roles.dedup();
    or_none(&roles.join(","))
}

pub(crate) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, &["status", "phase"]).into(), age(object, now)]
}

pub(crate) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let first = match text(object, &["firstTimestamp"]) {
        "" => text(object, &["eventTime"]),
        first => first,
    };
    let (last, count) = match at(object, &["series"]) {
        Value::Null => (text(object, &["lastTimestamp"]), int(object, &["count"]).max(1)),
        series => (text(series, &["lastObservedTime"]), int(series, &["count"])),
    };
    let last = if last.is_empty() { first } else { last };
    let involved = at(object, &["involvedObject"]);
    let kind = text(involved, &["kind"]).to_lowercase();
    let target = match text(involved, &["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = match text(object, &["source", "component"]) {
        "" => text(object, &["reportingComponent"]),
        component => component,
    };
    let source = match text(object, &["source", "host"]) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    };
    vec![
        since(last, now).into(),
        text(object, &["type"]).into(),
        text(object, &["reason"]).into(),
        target.into(),
        text(involved, &["fieldPath"]).into(),
        source.into(),
        text(object, &["message"]).trim().into(),
        since(first, now).into(),
        count.into(),
        name(object),
    ]
}

pub(crate) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, &["spec", "holderIdentity"]).into(), age(object, now)]
}
