//! From Kubernetes objects to what a node needs: manifests, config blobs, the network document, the desired document.
//!
//! Compiling is a function of the world alone: a hub that starts anew gets the same bytes and so the same digests, and
//! the generation of a node grows only where its [`NodeDocuments::content`] differs from the recorded one.

mod config;
mod container;
mod dns;
mod entry;
mod env;
mod fields;
mod manifest;
mod misfit;
mod network;
mod owner;
mod probe;
mod resources;
mod security;
mod touched;
mod volume;

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model::{Desired, Digest, Generation, NodeName, PodEntry};
use k8s_openapi::api::core::v1::Pod;

use crate::World;
pub(crate) use manifest::sysctl_name;
pub use misfit::Misfit;
pub use network::ClusterNetwork;
pub(crate) use owner::{PROGRESS_DEADLINE, parse_deadline};
pub(crate) use security::APPARMOR_ANNOTATION;
pub use touched::touched;

/// Nodes with the same value of this label reach each other's pods.
pub const SITE_LABEL: &str = "gannet.dev/site";

/// All that one node should have.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeDocuments {
    /// Its pods, by uid.
    pub pods: Vec<PodEntry>,
    /// The network document.
    pub network: Digest,
    /// Every blob that the pods and the network name, by digest.
    pub blobs: BTreeMap<Digest, Arc<[u8]>>,
    /// Pods that cannot be compiled.
    pub misfits: Vec<(Arc<Pod>, Misfit)>,
}

impl NodeDocuments {
    /// The desired document of this generation, to be signed.
    pub fn desired(&self, node: &NodeName, generation: Generation) -> Desired {
        Desired {
            version: 1,
            node: node.clone(),
            generation,
            pods: self.pods.clone(),
            network: Some(self.network),
        }
    }

    /// Names the content, whatever its generation.
    pub fn content(&self, node: &NodeName) -> Digest {
        Digest::of(&self.desired(node, Generation(0)).to_bytes())
    }
}

/// Compiles what `node` should have. A node that the world does not know gets nothing to run.
pub fn compile(world: &World, cluster: &ClusterNetwork, node: &NodeName) -> NodeDocuments {
    let mut blobs = BTreeMap::new();
    let mut pods = Vec::new();
    let mut misfits = Vec::new();
    for pod in pods_of(world, node) {
        match entry::entry(world, pod, &mut blobs) {
            Ok(entry) => pods.push(entry),
            Err(misfit) => misfits.push((pod.clone(), misfit)),
        }
    }
    pods.sort_by(|a: &PodEntry, b| a.uid.cmp(&b.uid));
    let network = keep(&mut blobs, network::network(world, cluster, node).to_bytes());
    NodeDocuments { pods, network, blobs, misfits }
}

/// The manifest that a pod should run; `None` where it cannot be compiled.
pub(crate) fn manifest_of(world: &World, pod: &Pod) -> Option<Digest> {
    entry::entry(world, pod, &mut BTreeMap::new()).ok().map(|entry| entry.manifest)
}

/// The pods bound to a node.
fn pods_of<'a>(world: &'a World, node: &'a NodeName) -> impl Iterator<Item = &'a Arc<Pod>> {
    world.pods.values().filter(move |p| node_of(p) == Some(node.as_str()))
}

/// The node that a pod is bound to.
fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())
}

/// Takes a blob in and returns its name.
fn keep(blobs: &mut BTreeMap<Digest, Arc<[u8]>>, bytes: Vec<u8>) -> Digest {
    let digest = Digest::of(&bytes);
    blobs.entry(digest).or_insert_with(|| bytes.into());
    digest
}

#[cfg(test)]
#[path = "compile_test.rs"]
mod tests;
