//! Nodes, events, endpoints and leases: what the hub's own parts write, and now and then a person.

use std::net::IpAddr;

use super::at::{At, Errors};
use super::names;

/// Checks a node.
pub(super) fn node(object: &At<'_>, errors: &mut Errors) {
    for taint in object.field("spec").field("taints").items() {
        let (key, value, effect) = (taint.field("key"), taint.field("value"), taint.field("effect"));
        errors.texts(&key, names::qualified(key.text()));
        errors.texts(&value, names::label_value(value.text()));
        errors.required_one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}

/// Checks an event.
pub(super) fn event(object: &At<'_>, errors: &mut Errors) {
    let about = object.fields(&["involvedObject", "namespace"]);
    let namespace = object.fields(&["metadata", "namespace"]);
    // Events about objects of the cluster live in `default`.
    let matches =
        if about.text().is_empty() { namespace.text() == "default" } else { about.value == namespace.value };
    if !matches {
        errors.invalid(&about, "does not match event.namespace");
    }
    let text = object.field("type");
    if !text.text().is_empty() {
        errors.one_of(&text, &["Normal", "Warning"]);
    }
}

/// Checks an Endpoints object.
pub(super) fn endpoints(object: &At<'_>, errors: &mut Errors) {
    for subset in object.field("subsets").items() {
        let (ready, not_ready) = (subset.field("addresses"), subset.field("notReadyAddresses"));
        if ready.items().is_empty() && not_ready.items().is_empty() {
            errors.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for address in ready.items().iter().chain(&not_ready.items()) {
            ip(&address.field("ip"), errors);
        }
        for port in subset.field("ports").items() {
            number(&port.field("port"), errors);
            errors.required_one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
        }
    }
}

/// The most endpoints of one slice.
const MAX_ENDPOINTS: usize = 1000;

/// Checks an EndpointSlice.
pub(super) fn endpoint_slice(object: &At<'_>, errors: &mut Errors) {
    let ty = object.field("addressType");
    errors.required_one_of(&ty, &["FQDN", "IPv4", "IPv6"]);
    let endpoints = object.field("endpoints");
    if endpoints.items().len() > MAX_ENDPOINTS {
        errors.too_many(&endpoints, endpoints.items().len(), MAX_ENDPOINTS);
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.field("addresses");
        if addresses.items().is_empty() {
            errors.required(&addresses, "must contain at least 1 endpoint");
        }
        for address in addresses.items() {
            match ty.text() {
                "FQDN" => errors.texts(&address, names::subdomain(address.text())),
                _ => ip(&address, errors),
            }
        }
    }
    for port in object.field("ports").items() {
        if port.field("port").is_set() {
            number(&port.field("port"), errors);
        }
        errors.required_one_of(&port.field("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

/// An EndpointSlice keeps its address type.
pub(super) fn endpoint_slice_update(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    errors.immutable(&old.field("addressType"), &new.field("addressType"));
}

/// Checks a lease.
pub(super) fn lease(object: &At<'_>, errors: &mut Errors) {
    let spec = object.field("spec");
    let seconds = spec.field("leaseDurationSeconds");
    if seconds.int().is_some_and(|n| n <= 0) {
        errors.invalid(&seconds, "must be greater than 0");
    }
    errors.not_negative(&spec.field("leaseTransitions"));
}

fn ip(at: &At<'_>, errors: &mut Errors) {
    if at.text().parse::<IpAddr>().is_err() {
        errors.invalid(at, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

fn number(at: &At<'_>, errors: &mut Errors) {
    match at.int() {
        Some(_) => errors.in_range(at, 1, 65535),
        None => errors.invalid_value(at, 0, "must be between 1 and 65535, inclusive"),
    }
}
