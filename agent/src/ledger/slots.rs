//! The ledger as a whole, and its two slots for desired documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gannet_protocols_link::Held;
use gannet_protocols_model::{Desired, Digest, MAX_DESIRED_BYTES, Manifest, NodeName, VerifyingKey};
use tracing::warn;

use super::blobs::Blobs;
use super::files::{Files, LedgerError, read};
use super::records::{Numbers, Records, Rollbacks};

const SLOTS: [&str; 2] = ["desired.a", "desired.b"];

/// The ledger. Its methods wait for the disk.
#[derive(Debug)]
pub(crate) struct Ledger {
    dir: PathBuf,
    node: NodeName,
    key: VerifyingKey,
    files: Files,
    blobs: Blobs,
    /// What is remembered of pods.
    pub(crate) records: Records,
    /// Which manifests were healthy.
    pub(crate) rollbacks: Rollbacks,
    /// Counters.
    pub(crate) numbers: Numbers,
    current: Mutex<Option<Slot>>,
    kept: Mutex<Kept>,
}

/// What is kept although no document names it: the node may go back to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    /// Manifests; with them their configuration is kept.
    pub(crate) manifests: BTreeSet<Digest>,
    /// Images, by what their names stood for.
    pub(crate) images: BTreeSet<Digest>,
}

/// An authentic document in a slot.
#[derive(Debug, Clone)]
struct Slot {
    index: usize,
    desired: Arc<Desired>,
    held: Held,
}

impl Ledger {
    /// Opens or makes the ledger of a node. The key is the hub's: what it did not sign is not there.
    pub(crate) fn open(dir: &Path, node: &NodeName, key: &VerifyingKey) -> Result<Self, LedgerError> {
        use std::os::unix::fs::PermissionsExt as _;
        fs::create_dir_all(dir).map_err(LedgerError::io("make", dir))?;
        // Blobs hold Secrets.
        // On a disk that is read-only it may be right already.
        let private = fs::metadata(dir).is_ok_and(|m| m.permissions().mode() & 0o777 == 0o700);
        if !private {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                .map_err(LedgerError::io("set the mode of", dir))?;
        }
        let files = Files::default();
        let ledger = Self {
            dir: dir.to_owned(),
            node: node.clone(),
            key: key.clone(),
            blobs: Blobs::open(dir, files.clone())?,
            records: Records::new(dir, files.clone()),
            rollbacks: Rollbacks::new(dir, files.clone()),
            numbers: Numbers::new(dir, files.clone()),
            files,
            current: Mutex::new(None),
            kept: Mutex::default(),
        };
        let newest = ledger.slots().into_iter().max_by_key(|slot| slot.held.generation);
        *ledger.lock() = newest;
        Ok(ledger)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Slot>> {
        // Replaced whole, so a panic elsewhere cannot leave it half changed.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slots that hold an authentic document.
    fn slots(&self) -> Vec<Slot> {
        (0..SLOTS.len()).filter_map(|index| self.slot(index)).collect()
    }

    fn slot(&self, index: usize) -> Option<Slot> {
        let path = self.dir.join(SLOTS[index]);
        let bytes = match read(&path, MAX_DESIRED_BYTES as u64) {
            Ok(bytes) => bytes?,
            Err(error) => {
                warn!(slot = SLOTS[index], ?error, "desired document cannot be read");
                return None;
            }
        };
        match Desired::open_any_generation(&bytes, &self.key, &self.node) {
            Ok(desired) => {
                let held = Held { generation: desired.generation, envelope: Digest::of(&bytes) };
                Some(Slot { index, desired: Arc::new(desired), held })
            }
            Err(error) => {
                // Left where it is: it may be good for another key, and the next document goes over it.
                warn!(slot = SLOTS[index], ?error, "desired document is not valid");
                None
            }
        }
    }

    /// The document that counts.
    pub(crate) fn desired(&self) -> Option<(Arc<Desired>, Held)> {
        self.lock().as_ref().map(|slot| (Arc::clone(&slot.desired), slot.held))
    }

    /// Makes a document count, durably. Its blobs were kept before. It goes over the older of the two.
    pub(crate) fn accept(&self, desired: Desired, envelope: &[u8]) -> Result<Arc<Desired>, LedgerError> {
        let mut current = self.lock();
        if let Some(newer) =
            current.as_ref().map(|slot| slot.held.generation).filter(|g| *g > desired.generation)
        {
            return Err(LedgerError::Generation { found: desired.generation, ledger: newer });
        }
        let index = current.as_ref().map_or(0, |slot| 1 - slot.index);
        self.files.replace(&self.dir.join(SLOTS[index]), envelope)?;
        let held = Held { generation: desired.generation, envelope: Digest::of(envelope) };
        let desired = Arc::new(desired);
        *current = Some(Slot { index, desired: Arc::clone(&desired), held });
        Ok(desired)
    }

    /// A blob, if it is here and whole.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.blobs.get(digest)
    }

    /// Waits until a blob is found damaged; it is missing then.
    pub(crate) async fn damaged(&self) {
        self.blobs.damaged.notified().await;
    }

    /// The document that counts, as it was signed; `None` where its slot is damaged by now.
    pub(crate) fn envelope(&self) -> Option<Vec<u8>> {
        let (index, held) = self.lock().as_ref().map(|slot| (slot.index, slot.held))?;
        let bytes = read(&self.dir.join(SLOTS[index]), MAX_DESIRED_BYTES as u64).ok().flatten()?;
        held.envelope.matches(&bytes).then_some(bytes)
    }

    /// Keeps a blob, durably.
    pub(crate) fn keep_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), LedgerError> {
        self.blobs.keep(digest, bytes)
    }

    /// A manifest, if it is here and parses.
    pub(crate) fn manifest(&self, digest: &Digest) -> Option<Arc<Manifest>> {
        match Manifest::parse(&self.blob(digest)?) {
            Ok(manifest) => Some(Arc::new(manifest)),
            Err(error) => {
                warn!(manifest = %digest, %error, "manifest in the ledger is not valid");
                None
            }
        }
    }

    /// Keeps this from now on, also if no document names it.
    pub(crate) fn keep(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// What is kept although no document names it.
    pub(crate) fn kept(&self) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes blobs that neither of the two documents names, nor what the node may go back to.
    pub(crate) fn collect_garbage(&self) -> Result<usize, LedgerError> {
        // Held, so that no document is accepted meanwhile.
        let current = self.lock();
        let mut keep = BTreeSet::new();
        let mut manifests = self.kept().manifests;
        for slot in self.slots() {
            keep.extend(slot.desired.network);
            manifests.extend(slot.desired.pods.iter().map(|pod| pod.manifest));
        }
        for digest in manifests {
            keep.insert(digest);
            keep.extend(self.manifest(&digest).map(|m| m.blobs()).unwrap_or_default());
        }
        let removed = self.blobs.retain(&keep);
        drop(current);
        removed
    }

    /// Bytes written to flash since the agent's start.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.files.written()
    }
}
