//! The EndpointSlices of a service: the same list in pieces, so that one pod's change rewrites one piece.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::backends::{Backend, Port, is_headless};
use crate::control::draft::Draft;
use crate::control::meta;
use crate::{Kind, ObjectKey};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// The most endpoints of a slice, as in Kubernetes.
const MAX_ENDPOINTS: usize = 100;

/// The hub's slices by service.
pub(super) fn by_service(draft: &Draft<'_>) -> BTreeMap<ObjectKey, Vec<ObjectKey>> {
    let mut slices: BTreeMap<ObjectKey, Vec<ObjectKey>> = BTreeMap::new();
    for (key, slice) in draft.endpoint_slices.iter() {
        let labels = meta::labels(&slice.metadata);
        if labels.get(MANAGED_BY).is_some_and(|by| by == CONTROLLER)
            && !meta::is_terminating(&slice.metadata)
            && let Some(service) = labels.get(SERVICE_NAME)
        {
            slices.entry(ObjectKey::new(&key.namespace, service)).or_default().push(key.clone());
        }
    }
    slices
}

/// Writes the slices of a service. An endpoint stays in its slice; new ones fill slices that have room.
pub(super) fn write(
    draft: &mut Draft<'_>,
    service: &Service,
    backends: &[Backend],
    existing: Vec<ObjectKey>,
) {
    let mut wanted: BTreeMap<Vec<Port>, BTreeMap<String, Endpoint>> = BTreeMap::new();
    for backend in backends {
        let uid = backend.pod.uid.clone().unwrap_or_default();
        wanted.entry(backend.ports.clone()).or_default().insert(uid, endpoint(backend));
    }
    if wanted.is_empty() {
        // A service without pods keeps one empty slice, so that readers know that it was looked at.
        wanted.insert(Vec::new(), BTreeMap::new());
    }
    let labels = labels(service);
    let mut left: BTreeSet<ObjectKey> = existing.into_iter().collect();
    for (ports, mut endpoints) in wanted {
        let ports: Vec<EndpointPort> = ports.into_iter().map(slice_port).collect();
        let mut mine: Vec<(Option<ObjectKey>, Vec<Endpoint>)> = Vec::new();
        for key in left.clone() {
            let Some(slice) = draft.endpoint_slices.get(&key) else { continue };
            if slice.address_type != "IPv4" || slice.ports.as_deref().unwrap_or_default() != ports {
                continue;
            }
            let kept = slice.endpoints.iter().flatten().filter_map(|e| endpoints.remove(&uid(e))).collect();
            left.remove(&key);
            mine.push((Some(key), kept));
        }
        let mut rest: Vec<Endpoint> = endpoints.into_values().collect();
        for (_, kept) in &mut mine {
            let room = MAX_ENDPOINTS.saturating_sub(kept.len()).min(rest.len());
            kept.extend(rest.drain(..room));
        }
        while !rest.is_empty() || mine.is_empty() {
            let many = rest.len().min(MAX_ENDPOINTS);
            mine.push((None, rest.drain(..many).collect()));
        }
        let filled = mine.iter().any(|(_, endpoints)| !endpoints.is_empty());
        for (i, (key, endpoints)) in mine.into_iter().enumerate() {
            if endpoints.is_empty() && (filled || i > 0) {
                left.extend(key);
            } else {
                put(draft, service, key, &labels, &ports, endpoints);
            }
        }
    }
    for key in left {
        draft.endpoint_slices.delete(&key, draft.now);
    }
}

fn put(
    draft: &mut Draft<'_>,
    service: &Service,
    key: Option<ObjectKey>,
    labels: &BTreeMap<String, String>,
    ports: &[EndpointPort],
    endpoints: Vec<Endpoint>,
) {
    let ports = (!ports.is_empty()).then(|| ports.to_vec());
    let endpoints = (!endpoints.is_empty()).then_some(endpoints);
    if let Some(key) = key {
        draft.endpoint_slices.update(&key, |slice| {
            slice.metadata.labels = Some(labels.clone());
            slice.ports = ports;
            slice.endpoints = endpoints;
        });
        return;
    }
    let namespace = meta::namespace(&service.metadata);
    if !draft.is_open(namespace) {
        return;
    }
    let prefix = format!("{}-", meta::name(&service.metadata));
    let metadata = ObjectMeta {
        name: Some(format!("{prefix}{}", draft.ids.suffix())),
        generate_name: Some(prefix),
        namespace: Some(namespace.to_owned()),
        uid: Some(draft.ids.uid()),
        generation: Some(1),
        creation_timestamp: Some(meta::time(draft.now)),
        labels: Some(labels.clone()),
        owner_references: Some(vec![meta::controller_reference(Kind::SERVICE, &service.metadata)]),
        ..ObjectMeta::default()
    };
    draft.endpoint_slices.create(EndpointSlice {
        metadata,
        address_type: "IPv4".to_owned(),
        ports,
        endpoints,
    });
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    if service.spec.as_ref().is_some_and(is_headless) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), meta::name(&service.metadata).to_owned());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    labels
}

fn uid(endpoint: &Endpoint) -> String {
    endpoint.target_ref.as_ref().and_then(|r| r.uid.clone()).unwrap_or_default()
}

fn endpoint(backend: &Backend) -> Endpoint {
    Endpoint {
        addresses: vec![backend.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(backend.ready),
            serving: Some(backend.serving),
            terminating: Some(backend.terminating),
        }),
        hostname: backend.hostname.clone(),
        node_name: backend.node.clone(),
        target_ref: Some(backend.pod.clone()),
        ..Endpoint::default()
    }
}

fn slice_port(port: Port) -> EndpointPort {
    EndpointPort {
        // A port without a name has the empty one here, as Kubernetes writes it.
        name: Some(port.name.unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol,
        app_protocol: port.app_protocol,
    }
}
