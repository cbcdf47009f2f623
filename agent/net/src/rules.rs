//! From services and pods to one nftables table. Pure: the same input gives the same text.
//!
//! The table `ip gannet` is replaced as a whole in one transaction, so there is never a moment without rules, and no
//! difference to work out. Backends are taken in turn (`numgen inc`), or by the client's address with session affinity.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use gannet_protocols_model::{Network, PodUid, Protocol, Service, ServiceKind, ServicePort};
use ipnet::Ipv4Net;

use crate::{LocalPod, NodePort};

/// Removes the table, whether it is there or not.
pub(crate) const REMOVE: &str = "add table ip gannet\ndelete table ip gannet\n";

/// Where the rules apply.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) bridge: &'a str,
    pub(crate) pods: Ipv4Net,
    pub(crate) services: Ipv4Net,
    /// The node's name server, where it is not at port 53.
    pub(crate) dns: Option<SocketAddrV4>,
    /// Ports of the node that its own programs listen at: no service takes them.
    pub(crate) taken: BTreeSet<NodePort>,
}

/// The ruleset of a node.
pub(crate) fn ruleset(place: &Place<'_>, network: &Network, local: &BTreeMap<PodUid, LocalPod>) -> String {
    let mut entry = String::new();
    let mut chains = String::new();
    for (service, s) in network.services.iter().enumerate() {
        for (port, p) in s.ports.iter().enumerate() {
            let backends = backends(s, port, local);
            if backends.is_empty() {
                continue;
            }
            let chain = format!("svc-{service}-{port}");
            for matched in matches(s, p, &place.taken) {
                let _ = writeln!(entry, "    {matched} goto {chain}");
            }
            let _ = writeln!(chains, "  # {}/{} {}", s.namespace, s.name, p.port);
            let _ = writeln!(chains, "  chain {chain} {{ {}; }}", balance(s, p.protocol, &backends));
        }
    }
    for pod in local.values() {
        for (protocol, node_port, port) in &pod.host_ports {
            let proto = name(*protocol);
            let _ = writeln!(
                entry,
                "    fib daddr type local ip daddr != 127.0.0.0/8 {proto} dport {node_port} dnat to {}:{port}",
                pod.ip
            );
        }
    }
    if let Some(dns) = place.dns {
        let _ = writeln!(
            entry,
            "    ip daddr {} meta l4proto {{ tcp, udp }} th dport 53 dnat to {dns}",
            dns.ip()
        );
    }
    let Place { bridge, pods, services, .. } = place;
    let beyond: Vec<String> =
        std::iter::once(pods.to_string()).chain(network.routes.iter().map(|r| r.pod_cidr.clone())).collect();
    let beyond = beyond.join(", ");
    format!(
        "{REMOVE}table ip gannet {{
{chains}  chain services {{
{entry}  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump services; }}
  chain output {{ type nat hook output priority -100; policy accept; jump services; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    # A pod that reaches itself or its neighbour through a service: answers must come back this way.
    ct status dnat ip saddr {pods} ip daddr {pods} masquerade
    ct status dnat ip saddr != {pods} ip daddr != {pods} masquerade
    ip saddr {pods} ip daddr != {{ {beyond} }} oifname != \"{bridge}\" masquerade
  }}
  chain forward {{ type filter hook forward priority filter; policy accept; ip daddr {services} reject; }}
  chain local {{ type filter hook output priority filter; policy accept; ip daddr {services} reject; }}
}}
"
    )
}

/// What leads to a port of a service.
fn matches(service: &Service, port: &ServicePort, taken: &BTreeSet<NodePort>) -> Vec<String> {
    let proto = name(port.protocol);
    let node = |number: u16| format!("fib daddr type local ip daddr != 127.0.0.0/8 {proto} dport {number}");
    let cluster = service.cluster_ip.map(|ip| format!("ip daddr {ip} {proto} dport {}", port.port));
    let at_node =
        node_ports(service, port).into_iter().filter(|n| !taken.contains(&(port.protocol, *n))).map(node);
    cluster.into_iter().chain(at_node).collect()
}

/// The ports of the node at which a service's port is to be reached.
fn node_ports(service: &Service, port: &ServicePort) -> Vec<u16> {
    let own = port.node_port.filter(|_| service.kind != ServiceKind::ClusterIP);
    let balancer = (service.kind == ServiceKind::LoadBalancer).then_some(port.port);
    own.into_iter().chain(balancer).collect()
}

/// Services that want a port of the node which one of its programs has: `NAMESPACE/NAME` and the port.
pub(crate) fn refused(network: &Network, taken: &BTreeSet<NodePort>) -> BTreeSet<(String, NodePort)> {
    let ports = network.services.iter().flat_map(|s| s.ports.iter().map(move |p| (s, p)));
    let wanted = ports.flat_map(|(s, p)| node_ports(s, p).into_iter().map(move |n| (s, (p.protocol, n))));
    wanted
        .filter(|(_, port)| taken.contains(port))
        .map(|(s, port)| (format!("{}/{}", s.namespace, s.name), port))
        .collect()
}

/// The backends that a service's port may use now: ready pods of this node, and ready pods of neighbours.
pub(crate) fn backends(
    service: &Service,
    port: usize,
    local: &BTreeMap<PodUid, LocalPod>,
) -> Vec<(Ipv4Addr, u16)> {
    let usable = service.backends.iter().filter_map(|backend| {
        let target = *backend.ports.get(port)?;
        let ip = match backend.remote {
            Some(ip) => ip,
            None => local.get(&backend.pod).filter(|pod| pod.ready)?.ip,
        };
        (target != 0).then_some((ip, target))
    });
    usable.collect()
}

fn balance(service: &Service, protocol: Protocol, backends: &[(Ipv4Addr, u16)]) -> String {
    let proto = name(protocol);
    if let [(ip, port)] = backends {
        return format!("meta l4proto {proto} dnat to {ip}:{port}");
    }
    let by = if service.affinity_seconds.is_some() { "jhash ip saddr" } else { "numgen inc" };
    let map: Vec<String> =
        backends.iter().enumerate().map(|(n, (ip, port))| format!("{n} : {ip} . {port}")).collect();
    format!("meta l4proto {proto} dnat ip to {by} mod {} map {{ {} }}", backends.len(), map.join(", "))
}

pub(crate) fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

#[cfg(test)]
#[path = "rules_test.rs"]
mod tests;
