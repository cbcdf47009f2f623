//! Services.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::json;

use super::at::{At, Errors};
use super::{meta, names, pod};

/// Checks a service's spec, addresses already given out.
pub(super) fn spec(spec: &At<'_>, errors: &mut Errors) {
    errors.required_one_of(&spec.field("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    errors.required_one_of(&spec.field("sessionAffinity"), &["ClientIP", "None"]);
    let seconds = spec.fields(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]);
    if seconds.int().is_some_and(|s| !(1..=86_400).contains(&s)) {
        errors.invalid(&seconds, "must be greater than 0 and less than 86400");
    }
    meta::labels(&spec.field("selector"), errors);
    let headless = spec.field("clusterIP").text() == "None";
    if headless && ["NodePort", "LoadBalancer"].contains(&spec.field("type").text()) {
        errors.invalid_value(
            &spec.field("clusterIPs").key("0"),
            "None",
            "may not be set to 'None' for LoadBalancer or NodePort services",
        );
    }
    let ip = spec.field("clusterIP");
    if !ip.text().is_empty() && !headless && ip.text().parse::<Ipv4Addr>().is_err() {
        errors.invalid(&ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
    let ports = spec.field("ports");
    if ports.items().is_empty() && !headless && spec.field("type").text() != "ExternalName" {
        errors.required(&ports, "");
    }
    self::ports(spec, &ports, errors);
    for field in ["internalTrafficPolicy", "externalTrafficPolicy"] {
        errors.one_of(&spec.field(field), &["Cluster", "Local"]);
    }
}

fn ports(spec: &At<'_>, ports: &At<'_>, errors: &mut Errors) {
    let all = ports.items();
    let (mut used_names, mut used_ports, mut used_nodes) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for port in &all {
        let name = port.field("name");
        if name.text().is_empty() {
            if all.len() > 1 {
                errors.required(&name, "");
            }
        } else {
            errors.texts(&name, names::label(name.text()));
            if !used_names.insert(name.text()) {
                errors.duplicate(&name);
            }
        }
        let (number, protocol) = (port.field("port"), port.field("protocol"));
        match number.int() {
            Some(_) => errors.in_range(&number, 1, 65535),
            None => errors.invalid_value(&number, 0, "must be between 1 and 65535, inclusive"),
        }
        errors.required_one_of(&protocol, &["SCTP", "TCP", "UDP"]);
        pod::validate_port(&port.field("targetPort"), errors);
        if !used_ports.insert((protocol.text(), number.int())) {
            errors.duplicate_value(port, json!({"port": number.value, "protocol": protocol.text()}));
        }
        let node = port.field("nodePort");
        if let Some(node_port) = node.int().filter(|n| *n != 0) {
            if spec.field("type").text() == "ClusterIP" {
                errors.forbidden(&node, "may not be used when `type` is 'ClusterIP'");
            } else if !used_nodes.insert((protocol.text(), node_port)) {
                errors.duplicate(&node);
            }
        }
    }
}

/// A service's address stays as it is, while it is of a type that has one.
pub(super) fn validate_update(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    let has_ip = |spec: &At<'_>| {
        spec.field("type").text() != "ExternalName" && !spec.field("clusterIP").text().is_empty()
    };
    if has_ip(old) && has_ip(new) && old.field("clusterIP").value != new.field("clusterIP").value {
        let at = At { path: format!("{}.clusterIPs[0]", new.path), value: new.field("clusterIP").value };
        errors.invalid_value(&at, json!([new.field("clusterIP").text()]), "may not change once set");
    }
}
