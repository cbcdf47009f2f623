//! What this machine is called, and at which addresses it is reached.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// The kernel's host name as a DNS label; none where it is none.
pub(crate) fn hostname() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_ascii_lowercase();
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name.chars().all(fine)).then_some(name)
}

/// The machine's own IPv4 addresses, as the kernel's table of local routes has them.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let table = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found = Vec::new();
    let mut last = None;
    for line in table.lines() {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("|-- ") {
            last = text.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last.take().map(IpAddr::V4));
        }
    }
    found
}
