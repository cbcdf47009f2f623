//! Where a service of type LoadBalancer is reached: at the addresses of nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Node, Service};

use super::backends::Backend;
use crate::ObjectKey;
use crate::control::draft::Draft;
use crate::control::meta;
use crate::control::node::{internal_ip, is_node_ready};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Writes `status.loadBalancer`: the addresses of the ready nodes that run ready pods of the service; of all ready nodes
/// where none does. A service that is no load balancer has none.
pub(super) fn write(draft: &mut Draft<'_>, service: &Service, backends: &[Backend], everywhere: &[IpAddr]) {
    let spec = service.spec.as_ref();
    if spec.and_then(|s| s.load_balancer_class.as_ref()).is_some() {
        return;
    }
    let old = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()?.ingress.as_ref());
    let mut ingress = None;
    if spec.and_then(|s| s.type_.as_deref()) == Some("LoadBalancer") {
        let with_pods: BTreeSet<&String> =
            backends.iter().filter(|b| b.ready).filter_map(|b| b.node.as_ref()).collect();
        let nodes = with_pods.into_iter().filter_map(|name| draft.nodes.get(&ObjectKey::new("", name)));
        let near: BTreeSet<IpAddr> = nodes.filter_map(usable_address).collect();
        let near: Vec<IpAddr> = near.into_iter().collect();
        let addresses = if near.is_empty() { everywhere } else { &near };
        let entry = |address: &IpAddr| LoadBalancerIngress {
            ip: Some(address.to_string()),
            ip_mode: Some("VIP".to_owned()),
            ..LoadBalancerIngress::default()
        };
        ingress = Some(addresses.iter().map(entry).collect::<Vec<_>>()).filter(|list| !list.is_empty());
    }
    if old != ingress.as_ref() {
        draft.services.update(&meta::key(&service.metadata), |service| {
            service.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus { ingress });
        });
    }
}

/// The addresses of all nodes that may stand for a load balancer, in order.
pub(super) fn all_addresses(draft: &Draft<'_>) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> =
        draft.nodes.iter().filter_map(|(_, node)| usable_address(node)).collect();
    addresses.into_iter().collect()
}

fn usable_address(node: &Node) -> Option<IpAddr> {
    let usable = is_node_ready(node)
        && !meta::is_terminating(&node.metadata)
        && !meta::labels(&node.metadata).contains_key(EXCLUDED);
    internal_ip(node).filter(|_| usable)?.parse().ok()
}
