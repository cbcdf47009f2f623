//! What should run here: the desired document with its manifests looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model::{Container, Desired, Digest, Generation, Manifest, PodEntry, PodUid};

/// One desired pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPod {
    /// Who it is.
    pub entry: PodEntry,
    /// What it runs; `None` where the ledger lost the blob, until it is fetched anew.
    pub manifest: Option<Arc<Manifest>>,
}

/// All that should run on the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredWorld {
    /// The document's generation.
    pub generation: Generation,
    /// The pods, by uid.
    pub pods: BTreeMap<PodUid, Arc<DesiredPod>>,
    /// The network document's digest.
    pub network: Option<Digest>,
}

impl DesiredWorld {
    /// Joins a document with its manifests.
    pub fn new(desired: &Desired, manifest: impl Fn(Digest) -> Option<Arc<Manifest>>) -> Self {
        let pods = desired.pods.iter().map(|entry| {
            let pod = DesiredPod { entry: entry.clone(), manifest: manifest(entry.manifest) };
            (entry.uid.clone(), Arc::new(pod))
        });
        Self { generation: desired.generation, pods: pods.collect(), network: desired.network }
    }

    /// A container by its pod and name.
    pub fn container(&self, pod: &PodUid, name: &str) -> Option<&Container> {
        self.pods.get(pod)?.container(name)
    }
}

impl DesiredPod {
    /// A container by its name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.manifest.as_ref()?.all_containers().find(|c| c.name == name)
    }
}
