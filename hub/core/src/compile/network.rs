//! A node's network document: the services that concern it, who answers for them, and the ways to its neighbours.
//!
//! A gateway learns of the services whose backends it runs or can reach, and of those in the namespaces of its pods; it
//! never learns of the whole fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use gannet_protocols_model as model;
use gannet_protocols_model::{Backend, Network, NodeName, NodeRoute, ServiceKind};
use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::container::protocol;
use super::probe::port_number;
use super::{SITE_LABEL, node_of};
use crate::control::are_gates_open;
use crate::{ObjectKey, World};

/// The addresses and the domain that all nodes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNetwork {
    /// Service addresses, as `10.43.0.0/16`.
    pub service_cidr: String,
    /// The DNS domain, as `cluster.local`.
    pub domain: String,
}

impl Default for ClusterNetwork {
    fn default() -> Self {
        Self { service_cidr: "10.43.0.0/16".into(), domain: "cluster.local".into() }
    }
}

pub(super) fn network(world: &World, cluster: &ClusterNetwork, node: &NodeName) -> Network {
    let own = world.nodes.get(&ObjectKey::new("", node.as_str()));
    let neighbours = neighbours(world, node);
    let namespaces: BTreeSet<&str> = world
        .pods
        .iter()
        .filter(|(_, pod)| node_of(pod) == Some(node.as_str()))
        .map(|(key, _)| key.namespace.as_str())
        .collect();
    let services = world.services.iter().filter_map(|(key, service)| {
        let backends = backends(world, key, service, node, &neighbours);
        let concerns = !backends.is_empty() || namespaces.contains(key.namespace.as_str());
        concerns.then(|| describe(key, service, backends)).flatten()
    });
    Network {
        pod_cidr: own.and_then(|n| n.spec.as_ref()?.pod_cidr.clone()).unwrap_or_default(),
        service_cidr: cluster.service_cidr.clone(),
        domain: cluster.domain.clone(),
        services: services.collect(),
        routes: neighbours.values().filter_map(|n| route(n)).collect(),
    }
}

/// Other nodes of the same site, by name.
pub(super) fn neighbours<'a>(world: &'a World, node: &NodeName) -> BTreeMap<&'a str, &'a Node> {
    let own = world.nodes.get(&ObjectKey::new("", node.as_str()));
    let Some(site) = own.and_then(|n| site(n)) else { return BTreeMap::new() };
    let same = |name: &str, other: &Node| name != node.as_str() && self::site(other) == Some(site);
    world.nodes.iter().filter(|(k, n)| same(&k.name, n)).map(|(k, n)| (k.name.as_str(), &**n)).collect()
}

fn site(node: &Node) -> Option<&str> {
    node.metadata.labels.as_ref()?.get(SITE_LABEL).map(String::as_str).filter(|s| !s.is_empty())
}

fn route(node: &Node) -> Option<NodeRoute> {
    let addresses = node.status.as_ref()?.addresses.as_deref().unwrap_or_default();
    let internal = addresses.iter().find(|a| a.type_ == "InternalIP")?;
    Some(NodeRoute {
        node: node.metadata.name.as_deref()?.parse().ok()?,
        address: internal.address.parse().ok()?,
        pod_cidr: node.spec.as_ref()?.pod_cidr.clone()?,
    })
}

fn describe(key: &ObjectKey, service: &Service, backends: Vec<Backend>) -> Option<model::Service> {
    let spec = service.spec.as_ref()?;
    let kind = match spec.type_.as_deref() {
        Some("NodePort") => ServiceKind::NodePort,
        Some("LoadBalancer") => ServiceKind::LoadBalancer,
        Some("ExternalName") => return None,
        _ => ServiceKind::ClusterIP,
    };
    let ports = spec.ports.iter().flatten().filter_map(|p| {
        Some(model::ServicePort {
            name: p.name.clone().unwrap_or_default(),
            protocol: protocol(p.protocol.as_deref()),
            port: u16::try_from(p.port).ok()?,
            node_port: p.node_port.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0),
        })
    });
    let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
    let timeout = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
    Some(model::Service {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        kind,
        cluster_ip: spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()),
        ports: ports.collect(),
        backends,
        affinity_seconds: affinity.then(|| timeout.and_then(|t| u32::try_from(t).ok()).unwrap_or(10_800)),
    })
}

/// Pods of this node that the selector matches, whatever their state (the node knows it better), and ready pods of
/// neighbours. A service without a selector has the addresses of its Endpoints.
fn backends(
    world: &World,
    key: &ObjectKey,
    service: &Service,
    node: &NodeName,
    neighbours: &BTreeMap<&str, &Node>,
) -> Vec<Backend> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let unready_too = spec.publish_not_ready_addresses == Some(true);
    let Some(selector) = spec.selector.as_ref().filter(|s| !s.is_empty()) else {
        return from_endpoints(world, key, ports);
    };
    let first = ObjectKey::new(&key.namespace, "");
    let in_namespace = world.pods.range(first..).take_while(|(k, _)| k.namespace == key.namespace);
    in_namespace
        .filter(|(_, pod)| {
            pod.metadata.deletion_timestamp.is_none() && selects(selector, pod) && !is_ended(pod)
        })
        .filter_map(|(_, pod)| {
            let remote = match node_of(pod)? {
                // Of gates alone the node knows nothing: clients open them at the hub.
                here if here == node.as_str() && (unready_too || are_gates_open(pod)) => None,
                there if neighbours.contains_key(there) && is_ready(pod) => Some(pod_ip(pod)?),
                _ => return None,
            };
            let spec = pod.spec.as_ref()?;
            Some(Backend {
                pod: pod.metadata.uid.as_deref()?.parse().ok()?,
                remote,
                ports: ports.iter().map(|p| target_port(p, &spec.containers)).collect(),
                hostname: named_by(spec, key),
            })
        })
        .collect()
}

/// The pod's name below the service's: that of a pod whose subdomain is the service.
fn named_by(spec: &PodSpec, service: &ObjectKey) -> Option<String> {
    let hostname = spec.hostname.clone().filter(|h| !h.is_empty())?;
    (spec.subdomain.as_ref() == Some(&service.name)).then_some(hostname)
}

fn from_endpoints(world: &World, key: &ObjectKey, ports: &[ServicePort]) -> Vec<Backend> {
    let Some(endpoints) = world.endpoints.get(key) else { return Vec::new() };
    let mut backends = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let number = |p: &ServicePort| {
            let found = subset
                .ports
                .iter()
                .flatten()
                .find(|e| e.name.as_deref().unwrap_or_default() == p.name.as_deref().unwrap_or_default());
            found.and_then(|e| u16::try_from(e.port).ok()).unwrap_or(0)
        };
        for address in subset.addresses.iter().flatten() {
            let Ok(ip) = address.ip.parse::<Ipv4Addr>() else { continue };
            let Ok(pod) = format!("endpoint-{}", address.ip.replace('.', "-")).parse() else { continue };
            let ports = ports.iter().map(number).collect();
            backends.push(Backend { pod, remote: Some(ip), ports, hostname: address.hostname.clone() });
        }
    }
    backends
}

fn selects(selector: &BTreeMap<String, String>, pod: &Pod) -> bool {
    let Some(labels) = &pod.metadata.labels else { return false };
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn is_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn pod_ip(pod: &Pod) -> Option<Ipv4Addr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}

fn target_port(port: &ServicePort, containers: &[Container]) -> u16 {
    let same = IntOrString::Int(port.port);
    port_number(port.target_port.as_ref().unwrap_or(&same), containers).unwrap_or(0)
}
