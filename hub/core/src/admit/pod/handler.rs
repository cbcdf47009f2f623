//! What a probe or a hook does.

use crate::admit::at::{At, Errors};
use crate::admit::names;

/// Checks the one action of a probe or hook, which is of one of these kinds.
pub(super) fn validate(at: &At<'_>, kinds: &[&str], grace: Option<i64>, errors: &mut Errors) {
    let handlers: Vec<At<'_>> = kinds.iter().map(|f| at.field(f)).filter(At::is_set).collect();
    match handlers.as_slice() {
        [] => errors.required(at, "must specify a handler type"),
        [_] => {}
        [_, more @ ..] => {
            more.iter().for_each(|h| errors.forbidden(h, "may not specify more than 1 handler type"));
        }
    }
    let Some((kind, handler)) = kinds.iter().map(|f| (f, at.field(f))).find(|(_, h)| h.is_set()) else {
        return;
    };
    match *kind {
        "exec" if handler.field("command").items().is_empty() => {
            errors.required(&handler.field("command"), "");
        }
        "httpGet" => http_get(&handler, errors),
        "tcpSocket" => port(&handler.field("port"), errors),
        "grpc" => match handler.field("port").int() {
            Some(_) => errors.in_range(&handler.field("port"), 1, 65535),
            None => errors.invalid_value(&handler.field("port"), 0, "must be between 1 and 65535, inclusive"),
        },
        "sleep" => sleep(&handler, grace, errors),
        _ => {}
    }
}

fn http_get(http: &At<'_>, errors: &mut Errors) {
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

fn sleep(sleep: &At<'_>, grace: Option<i64>, errors: &mut Errors) {
    let seconds = sleep.field("seconds").int().unwrap_or(0);
    if let Some(grace) = grace
        && !(0..=grace).contains(&seconds)
    {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid_value(sleep, seconds, &detail);
    }
}

/// A port by number or by the name that a container gives it.
pub(in crate::admit) fn port(port: &At<'_>, errors: &mut Errors) {
    match port.int() {
        Some(_) => errors.in_range(port, 1, 65535),
        None if port.value.is_string() => errors.texts(port, names::port_name(port.text())),
        None => errors.invalid_value(port, 0, "must be between 1 and 65535, inclusive"),
    }
}
