//! The Endpoints object of a service: the older of the two lists, one object a service.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::backends::{Backend, Port, is_headless};
use crate::ObjectKey;
use crate::control::draft::Draft;
use crate::control::meta;

/// Tells the hub's own Endpoints from those that people write for services without a selector.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpoint-controller";
const HEADLESS: &str = "service.kubernetes.io/headless";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// The most addresses of one object, as in Kubernetes. Who needs more reads EndpointSlices.
const MAX_ADDRESSES: usize = 1000;

/// Writes the Endpoints of a service.
pub(super) fn write(draft: &mut Draft<'_>, service: &Service, backends: &[Backend]) {
    let key = meta::key(&service.metadata);
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    if service.spec.as_ref().is_some_and(is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    let listed: Vec<_> = backends.iter().filter(|b| b.ready || !b.terminating).collect();
    let over = listed.len() > MAX_ADDRESSES;
    let subsets = subsets(&listed[..listed.len().min(MAX_ADDRESSES)]);
    let subsets = (!subsets.is_empty()).then_some(subsets);
    if draft.endpoints.get(&key).is_some() {
        draft.endpoints.update(&key, |endpoints| {
            endpoints.metadata.labels = Some(labels);
            mark(&mut endpoints.metadata, over);
            endpoints.subsets = subsets;
        });
    } else if draft.is_open(&key.namespace) {
        let mut metadata = ObjectMeta {
            name: Some(key.name),
            namespace: Some(key.namespace),
            uid: Some(draft.ids.uid()),
            creation_timestamp: Some(meta::time(draft.now)),
            labels: Some(labels),
            ..ObjectMeta::default()
        };
        mark(&mut metadata, over);
        draft.endpoints.create(Endpoints { metadata, subsets });
    }
}

fn mark(meta: &mut ObjectMeta, over: bool) {
    if over {
        meta.annotations.get_or_insert_default().insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else if let Some(annotations) = &mut meta.annotations {
        annotations.remove(OVER_CAPACITY);
        meta.annotations = meta.annotations.take().filter(|a| !a.is_empty());
    }
}

/// Removes Endpoints that the hub made for services that are gone.
pub(super) fn clean_up(draft: &mut Draft<'_>) {
    let stale: Vec<ObjectKey> = draft
        .endpoints
        .iter()
        .filter(|(key, endpoints)| {
            meta::labels(&endpoints.metadata).get(MANAGED_BY).is_some_and(|by| by == CONTROLLER)
                && draft.services.get(key).is_none()
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in stale {
        draft.endpoints.delete(&key, draft.now);
    }
}

/// One subset for each list of ports that some pods share.
fn subsets(backends: &[&Backend]) -> Vec<EndpointSubset> {
    let mut groups: BTreeMap<&[Port], Vec<&Backend>> = BTreeMap::new();
    for backend in backends {
        groups.entry(&backend.ports).or_default().push(backend);
    }
    let list = |group: &[&Backend], ready: bool| {
        let mut addresses: Vec<_> = group.iter().filter(|b| b.ready == ready).map(|b| address(b)).collect();
        addresses.sort_by(|a, b| ip_order(&a.ip).cmp(&ip_order(&b.ip)));
        (!addresses.is_empty()).then_some(addresses)
    };
    let port = |port: &Port| EndpointPort {
        name: port.name.clone(),
        port: port.port,
        protocol: port.protocol.clone(),
        app_protocol: port.app_protocol.clone(),
    };
    groups
        .into_iter()
        .map(|(ports, group)| EndpointSubset {
            addresses: list(&group, true),
            not_ready_addresses: list(&group, false),
            ports: (!ports.is_empty()).then(|| ports.iter().map(port).collect()),
        })
        .collect()
}

fn ip_order(ip: &str) -> (Option<std::net::Ipv4Addr>, &str) {
    (ip.parse().ok(), ip)
}

fn address(backend: &Backend) -> EndpointAddress {
    EndpointAddress {
        ip: backend.ip.clone(),
        hostname: backend.hostname.clone(),
        node_name: backend.node.clone(),
        target_ref: Some(backend.pod.clone()),
    }
}
