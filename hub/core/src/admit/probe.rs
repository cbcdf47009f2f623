//! A container's probe.

use super::at::{At, Errors};
use super::names;

/// Checks a probe; liveness and startup probes succeed at once.
pub(super) fn validate(probe: &At<'_>, once: bool, errors: &mut Errors) {
    let handlers: Vec<At<'_>> =
        ["exec", "httpGet", "tcpSocket", "grpc"].iter().map(|f| probe.field(f)).filter(At::is_set).collect();
    match handlers.as_slice() {
        [] => errors.required(probe, "must specify a handler type"),
        [_] => {}
        [_, second, ..] => errors.forbidden(second, "may not specify more than 1 handler type"),
    }
    if probe.field("exec").is_set() && probe.fields(&["exec", "command"]).items().is_empty() {
        errors.required(&probe.fields(&["exec", "command"]), "");
    }
    let http = probe.field("httpGet");
    if http.is_set() {
        if http.field("path").text().is_empty() {
            errors.required(&http.field("path"), "");
        }
        port(&http.field("port"), errors);
        errors.one_of(&http.field("scheme"), &["HTTP", "HTTPS"]);
        for header in http.field("httpHeaders").items() {
            let name = header.field("name");
            let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            if name.text().is_empty() || !name.text().bytes().all(token) {
                errors.invalid(&name, "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')");
            }
        }
    }
    if probe.field("tcpSocket").is_set() {
        port(&probe.fields(&["tcpSocket", "port"]), errors);
    }
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        errors.not_negative(&probe.field(field));
    }
    let successes = probe.field("successThreshold");
    if once && successes.int().is_some_and(|n| n != 1) {
        errors.invalid(&successes, "must be 1");
    }
}

/// A port by number or by the name that a container gives it.
pub(super) fn port(port: &At<'_>, errors: &mut Errors) {
    match port.int() {
        Some(_) => errors.in_range(port, 1, 65535),
        None if port.value.is_string() => errors.texts(port, names::port_name(port.text())),
        None => errors.invalid_value(port, 0, "must be between 1 and 65535, inclusive"),
    }
}
