//! A node's flash: what survives a power cut. Accepts what the real ledger accepts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gannet_agent_core::{DesiredWorld, PodRecord};
use gannet_protocols_link::Held;
use gannet_protocols_model::{Desired, Digest, Manifest, PodUid, Session};

/// Records of pods.
pub(crate) type Records = BTreeMap<PodUid, PodRecord>;

/// A document that was accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// What it says.
    pub desired: Desired,
    /// Its signed bytes.
    pub envelope: Vec<u8>,
}

/// The ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// The document that counts, and the one before.
    slots: [Option<Accepted>; 2],
    /// What is remembered of pods.
    pub records: Records,
    starts: u64,
}

impl Ledger {
    /// Counts a start of the agent.
    pub fn next_session(&mut self) -> Session {
        self.starts += 1;
        Session(self.starts)
    }

    /// The document that counts.
    pub fn current(&self) -> Option<&Accepted> {
        self.slots[0].as_ref()
    }

    /// As the session wants it.
    pub fn held(&self) -> Option<Held> {
        let slot = self.current()?;
        Some(Held { generation: slot.desired.generation, envelope: Digest::of(&slot.envelope) })
    }

    /// A blob.
    pub fn blob(&self, digest: &Digest) -> Option<&[u8]> {
        self.blobs.get(digest).map(Vec::as_slice)
    }

    /// Keeps a blob.
    pub fn keep(&mut self, digest: Digest, bytes: Vec<u8>) {
        self.blobs.insert(digest, bytes);
    }

    /// Makes a document count, and removes blobs that neither it nor the one before names.
    pub fn accept(&mut self, accepted: Accepted) {
        let [current, before] = &mut self.slots;
        *before = current.replace(accepted);
        let mut keep = BTreeSet::new();
        for slot in self.slots.iter().flatten() {
            keep.extend(slot.desired.network);
            for pod in &slot.desired.pods {
                keep.insert(pod.manifest);
                keep.extend(self.manifest(&pod.manifest).iter().flat_map(|m| m.blobs()));
            }
        }
        self.blobs.retain(|digest, _| keep.contains(digest));
    }

    fn manifest(&self, digest: &Digest) -> Option<Arc<Manifest>> {
        Manifest::parse(self.blob(digest)?).ok().map(Arc::new)
    }

    /// What the document that counts means.
    pub fn world(&self) -> DesiredWorld {
        match self.current() {
            Some(slot) => DesiredWorld::new(&slot.desired, |digest| self.manifest(&digest)),
            None => DesiredWorld::default(),
        }
    }
}
