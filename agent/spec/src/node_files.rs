//! The text of `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a pod.

use std::net::Ipv4Addr;

use gannet_protocols_model::{DnsPolicy, Manifest, PodEntry};

/// The longest host name that Linux takes.
const MAX_HOSTNAME: usize = 63;

/// A pod's host name: on the node's network the node's own.
pub fn hostname(entry: &PodEntry, manifest: &Manifest, node_hostname: &str) -> String {
    if manifest.host_network {
        return node_hostname.to_owned();
    }
    let name = manifest.hostname.as_deref().unwrap_or(&entry.name);
    let cut: String = name.chars().take(MAX_HOSTNAME).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// `/etc/hosts` of a pod with an address of its own.
pub fn hosts(hostname: &str, ip: Option<Ipv4Addr>) -> String {
    let mut text = String::from(
        "# Managed by gannet.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    if let Some(ip) = ip {
        text.push_str(&format!("{ip}\t{hostname}\n"));
    }
    text
}

/// `/etc/resolv.conf` of a pod. `dns` is the node's own server and the cluster's domain; `node` the node's file.
pub fn resolv_conf(
    entry: &PodEntry,
    manifest: &Manifest,
    dns: Option<(Ipv4Addr, &str)>,
    node: &str,
) -> String {
    let cluster = dns.filter(|_| manifest.dns_policy == DnsPolicy::ClusterFirst && !manifest.host_network);
    match cluster {
        Some((server, domain)) => {
            let namespace = &entry.namespace;
            format!(
                "search {namespace}.svc.{domain} svc.{domain} {domain}\nnameserver {server}\noptions ndots:5\n"
            )
        }
        None => node.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{entry, manifest};

    #[test]
    fn files() {
        let (entry, mut manifest) = (entry(), manifest(r#"{"name":"c","image":"i"}"#));
        assert_eq!(hostname(&entry, &manifest, "node"), "web-1");
        manifest.hostname = Some("x".repeat(62) + "-y");
        assert_eq!(hostname(&entry, &manifest, "node"), "x".repeat(62), "cut, and no '-' at the end");
        assert!(hosts("web-1", Some(Ipv4Addr::new(10, 42, 0, 5))).ends_with("10.42.0.5\tweb-1\n"));

        let dns = Some((Ipv4Addr::new(10, 42, 0, 1), "cluster.local"));
        let text = resolv_conf(&entry, &manifest, dns, "nameserver 9.9.9.9\n");
        assert!(
            text.starts_with("search prod.svc.cluster.local svc.cluster.local cluster.local\n"),
            "{text}"
        );
        manifest.host_network = true;
        assert_eq!(resolv_conf(&entry, &manifest, dns, "nameserver 9.9.9.9\n"), "nameserver 9.9.9.9\n");
        assert_eq!(hostname(&entry, &manifest, "node"), "node");
    }
}
