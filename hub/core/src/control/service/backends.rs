//! The pods behind a service.

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::control::draft::Draft;
use crate::control::index::Index;
use crate::control::meta;

/// One pod behind a service, with an address.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Backend {
    pub(super) ip: String,
    pub(super) node: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) pod: ObjectReference,
    /// To be used now.
    pub(super) ready: bool,
    /// Ready, be it on its way out.
    pub(super) serving: bool,
    pub(super) terminating: bool,
    /// The service's ports that the pod has, with the port in the pod.
    pub(super) ports: Vec<Port>,
}

/// One port as it is in a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) name: Option<String>,
    pub(super) port: i32,
    pub(super) protocol: Option<String>,
    pub(super) app_protocol: Option<String>,
}

/// Whether the hub finds the pods of a service.
pub(super) fn is_selected(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.type_.as_deref() != Some("ExternalName") && spec.selector.as_ref().is_some_and(|s| !s.is_empty())
    })
}

/// Whether a service has no address of its own.
pub(super) fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

/// The pods behind a service, by name. Finished ones and those without an address are not among them.
pub(super) fn backends(draft: &Draft<'_>, index: &Index<'_>, service: &Service) -> Vec<Backend> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let Some((label, value)) = spec.selector.as_ref().and_then(|s| s.iter().next()) else {
        return Vec::new();
    };
    let namespace = meta::namespace(&service.metadata);
    let candidates = index.labelled(namespace, label, value).iter();
    let pods = candidates.filter_map(|&key| draft.pods.get(key)).filter(|pod| {
        spec.selector.iter().flatten().all(|(k, v)| meta::labels(&pod.metadata).get(k) == Some(v))
    });
    pods.filter_map(|pod| backend(service, spec, pod)).collect()
}

fn backend(service: &Service, spec: &ServiceSpec, pod: &Pod) -> Option<Backend> {
    let ip = pod.status.as_ref()?.pod_ip.clone().filter(|ip| !ip.is_empty())?;
    if meta::is_finished(pod) {
        return None;
    }
    let serving = meta::is_ready(pod);
    let terminating = meta::is_terminating(&pod.metadata);
    let of_service = |s: &&String| pod.spec.as_ref().and_then(|p| p.subdomain.as_ref()) == Some(*s);
    let hostname = service.metadata.name.as_ref().filter(of_service).and(pod.spec.as_ref()?.hostname.clone());
    Some(Backend {
        ip,
        node: meta::node_name(pod).map(str::to_owned),
        hostname: hostname.filter(|h| !h.is_empty()),
        pod: ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        },
        ready: (serving && !terminating) || spec.publish_not_ready_addresses == Some(true),
        serving,
        terminating,
        ports: spec.ports.iter().flatten().filter_map(|port| resolve(port, pod)).collect(),
    })
}

/// The service's port in this pod; `None` where the pod has none of that name.
fn resolve(port: &ServicePort, pod: &Pod) -> Option<Port> {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let number = match &port.target_port {
        None | Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut ports = containers.flat_map(|c| c.ports.iter().flatten());
            ports
                .find(|p| {
                    p.name.as_ref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol
                })?
                .container_port
        }
    };
    Some(Port {
        name: port.name.clone().filter(|n| !n.is_empty()),
        port: number,
        protocol: Some(protocol),
        app_protocol: port.app_protocol.clone(),
    })
}
