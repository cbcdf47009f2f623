//! What a container's environment and a pod's volumes of fields are made from: the pod, its node, the services.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Context as _;
use gannet_agent_core::DesiredPod;
use gannet_agent_spec::{self as spec, Allocatable, PodContext};
use gannet_protocols_model::{
    ByteSize, ConfigBlob, Container, CpuMillis, Digest, EnvValue, Manifest, NodeInfo,
};

use super::{PodWork, Tools};

/// What is left of a node for pods.
pub(crate) fn allocatable(node: &NodeInfo) -> Allocatable {
    Allocatable {
        cpu: CpuMillis(node.cpu.0.saturating_sub(node.cpu_reserved.0)),
        memory: ByteSize(node.memory.0.saturating_sub(node.memory_reserved.0)),
        disk: ByteSize(node.disk.0.saturating_sub(node.disk_reserved.0)),
    }
}

/// The node, as specs and volumes need to know it.
#[derive(Debug, Clone)]
pub(super) struct NodeSide {
    name: String,
    ip: Ipv4Addr,
    memory: ByteSize,
    pub(super) allocatable: Allocatable,
}

impl NodeSide {
    pub(super) fn of(tools: &Tools) -> Self {
        Self {
            name: tools.node_name.clone(),
            ip: tools.node_ip,
            memory: tools.node_memory,
            allocatable: tools.allocatable,
        }
    }

    /// A pod on it.
    pub(super) fn pod<'a>(
        &'a self,
        work: &PodWork,
        pod: &'a DesiredPod,
        manifest: &'a Manifest,
    ) -> PodContext<'a> {
        PodContext {
            entry: &pod.entry,
            manifest,
            node_name: &self.name,
            node_ip: self.ip,
            pod_ip: work.ip,
            node_memory: self.memory,
            allocatable: self.allocatable,
        }
    }
}

/// The container's own variables and those of the services that there are now.
pub(super) fn variables(
    tools: &Tools,
    pod: &PodContext<'_>,
    container: &Container,
) -> anyhow::Result<Vec<(String, String)>> {
    let blobs = blobs(tools, container)?;
    let document = tools.wish.borrow().document.clone();
    let services = document
        .map(|network| spec::service_environment(&network, &pod.entry.namespace, pod.manifest.service_links));
    Ok(spec::variables(pod, container, &blobs, &services.unwrap_or_default())?)
}

fn blobs(tools: &Tools, container: &Container) -> anyhow::Result<BTreeMap<Digest, ConfigBlob>> {
    let mut blobs = BTreeMap::new();
    for variable in &container.env {
        let (EnvValue::Key { blob, .. } | EnvValue::All { blob, .. }) = &variable.value else { continue };
        if blobs.contains_key(blob) {
            continue;
        }
        if let Some(bytes) = tools.ledger.blob(blob) {
            let parsed = ConfigBlob::parse(&bytes).with_context(|| format!("configuration {blob}"))?;
            blobs.insert(*blob, parsed);
        }
    }
    Ok(blobs)
}
