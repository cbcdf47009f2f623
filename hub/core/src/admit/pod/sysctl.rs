//! Kernel parameters of a pod's namespaces.

use std::collections::BTreeSet;

use crate::admit::at::{At, Errors};
use crate::compile::sysctl_name;

/// Those that no pod can harm another or the node with: kubelet's list. Others it runs only where its own configuration
/// says so; a gateway's says nothing.
const SAFE: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// The longest name.
const MAX_NAME: usize = 253;

const GRAMMAR: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// Checks the pod's `securityContext.sysctls`.
pub(super) fn validate(spec: &At<'_>, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for sysctl in spec.fields(&["securityContext", "sysctls"]).items() {
        let at = sysctl.field("name");
        if at.text().is_empty() {
            errors.required(&at, "");
            continue;
        }
        if !is_name(at.text()) {
            errors.invalid(&at, GRAMMAR);
            continue;
        }
        let name = sysctl_name(at.text());
        if !SAFE.contains(&name.as_str()) {
            errors.forbidden(&at, &format!("forbidden sysctl: {name:?} not allowlisted"));
        } else if name.starts_with("net.") && spec.field("hostNetwork").is_true() {
            errors.invalid(&at, "may not be specified when 'hostNetwork' is true");
        } else if name.starts_with("kernel.") && spec.field("hostIPC").is_true() {
            errors.invalid(&at, "may not be specified when 'hostIPC' is true");
        }
        if !names.insert(name) {
            errors.duplicate(&at);
        }
    }
}

fn is_name(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let part = |part: &str| {
        let bytes = part.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| edge(Some(b)) || matches!(b, b'-' | b'_'))
    };
    text.len() <= MAX_NAME && text.split(['.', '/']).all(part)
}
