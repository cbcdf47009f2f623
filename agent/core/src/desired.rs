//! What should run here: the desired document with its manifests looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model::{
    Container, Desired, Digest, Generation, Manifest, PodEntry, PodUid, RolledBack,
};

use crate::container_id::Definition;
use crate::record::PodRecord;

/// One desired pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPod {
    /// Who it is.
    pub entry: PodEntry,
    /// What it runs; `None` where the ledger lost the blob, until it is fetched anew.
    pub manifest: Option<Arc<Manifest>>,
    /// Set where the device runs another manifest than the document names (see [`crate::RollbackMemory::effective`]).
    pub instead: Option<Instead>,
}

/// Why a pod runs its owner's last healthy manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// What is told of it; nothing while a running pod only waits for its new images.
    pub rolled_back: Option<RolledBack>,
    /// The manifest that failed: all containers are started anew. `None` where what runs stays as it is.
    pub failed: Option<Digest>,
    /// The manifest whose images are waited for.
    pub waits_for: Option<Arc<Manifest>>,
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
            let pod = DesiredPod { entry: entry.clone(), manifest: manifest(entry.manifest), instead: None };
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
    /// Names the values that the entry gives to the manifest's fields; `None` where there are none. With the manifest it
    /// decides what is in the pod's volumes.
    pub fn fields_digest(&self) -> Option<Digest> {
        let fields = &self.entry.fields;
        // A map of strings always serializes.
        (!fields.is_empty()).then(|| Digest::of(&serde_json::to_vec(fields).unwrap_or_default()))
    }

    /// Whether the pod's volumes were made from something else.
    pub(crate) fn has_other_volumes(&self, record: &PodRecord) -> bool {
        record.manifest != self.entry.manifest || record.fields != self.fields_digest()
    }

    /// A container by its name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.manifest.as_ref()?.all_containers().find(|c| c.name == name)
    }

    /// What a container of the pod has to be started from.
    pub fn definition(&self, container: &Container) -> Definition {
        match self.instead.as_ref().and_then(|i| i.failed.as_ref()) {
            Some(failed) => Definition::after(failed, container),
            None => Definition::of(container),
        }
    }
}
