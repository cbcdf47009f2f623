//! Ports of containers, and those of the node that they take.

use std::collections::BTreeSet;

use serde_json::json;

use crate::admit::at::{At, Errors};
use crate::admit::names;

/// Checks a container's ports.
pub(super) fn validate(ports: &At<'_>, errors: &mut Errors) {
    let mut used = BTreeSet::new();
    for port in ports.items() {
        let name = port.field("name");
        if !name.text().is_empty() {
            errors.texts(&name, names::port_name(name.text()));
            if !used.insert(name.text()) {
                errors.duplicate(&name);
            }
        }
        let number = port.field("containerPort");
        if number.int().unwrap_or(0) == 0 {
            errors.required(&number, "");
        } else {
            errors.in_range(&number, 1, 65535);
        }
        if port.field("hostPort").int() != Some(0) {
            errors.in_range(&port.field("hostPort"), 1, 65535);
        }
        errors.required_one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

/// Two containers cannot have the same port of the node. Init containers run one by one, so each is looked at alone.
pub(super) fn of_host(spec: &At<'_>, errors: &mut Errors) {
    let host_network = spec.field("hostNetwork").is_true();
    let mut taken = BTreeSet::new();
    for container in spec.field("containers").items() {
        for port in container.field("ports").items() {
            let (host, own) = (port.field("hostPort"), port.field("containerPort"));
            if host_network && host.int().is_some_and(|n| n != 0) && host.int() != own.int() {
                errors.invalid(&host, "must match `containerPort` when `hostNetwork` is true");
            }
            take(&port, &mut taken, errors);
        }
    }
    for container in spec.field("initContainers").items() {
        let mut taken = BTreeSet::new();
        for port in container.field("ports").items() {
            take(&port, &mut taken, errors);
        }
    }
}

fn take<'a>(port: &At<'a>, taken: &mut BTreeSet<(&'a str, &'a str, i64)>, errors: &mut Errors) {
    let host = port.field("hostPort");
    let Some(number) = host.int().filter(|n| *n != 0) else { return };
    let (protocol, ip) = (port.field("protocol").text(), port.field("hostIP").text());
    if !taken.insert((protocol, ip, number)) {
        errors.duplicate_value(&host, json!(format!("{protocol}/{ip}/{number}")));
    }
}
