//! Images on disk.
//!
//! ```text
//! lock                one process at a time
//! images.json         name -> manifest
//! blobs/sha256/HEX    manifests, configurations, layers that wait to be unpacked
//! partial/HEX         downloads that broke off, continued by the next pull
//! layers/HEX          unpacked layers, by the digest of the uncompressed tar; `HEX.bad-*` are damaged ones
//! listings/HEX        what is in each layer, to tell whether it still is
//! tmp/                all that is not finished; emptied at the start
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FlockOperation;
use tokio::sync::Semaphore;

use gannet_protocols_model::{Digest, ImageReference};

use crate::config::{ConfigDocument, MAX_CONFIG_BYTES};
use crate::manifest::MAX_MANIFEST_BYTES;
use crate::store::atomic;
use crate::store::inflight::InFlight;
use crate::store::records::{Record, Records};
use crate::{Document, ImageConfig};

/// Layers that are fetched or unpacked at a time, over all pulls: the memory of a pull is bounded by it.
const PARALLEL_LAYERS: usize = 3;

/// How much an image may make a gateway write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest compressed layer.
    pub layer_bytes: u64,
    /// The most bytes that all layers of an image may unpack to.
    pub unpacked_bytes: u64,
    /// The most files of an image.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { layer_bytes: 8 << 30, unpacked_bytes: 16 << 30, entries: 1 << 20 }
    }
}

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("image store {path} is in use by another process")]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The file system says no.
    #[error("image store {path}: cannot {action}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}

/// An image that is on disk, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the registry has under the image's name: what a status names it by.
    pub digest: Digest,
    /// This machine's manifest; the same where there is no index.
    pub manifest: Digest,
    /// How it is run.
    pub config: ImageConfig,
    /// The unpacked layers, lowest first, by the digest of the uncompressed tar.
    pub layers: Vec<Digest>,
    /// The folders of the layers, lowest first.
    pub layer_dirs: Vec<PathBuf>,
    /// Bytes of the compressed layers.
    pub size: u64,
}

/// The images of one machine. Clones share it. Methods that are not `async` wait for the disk.
#[derive(Debug, Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    limits: Limits,
    records: Mutex<Records>,
    inflight: Arc<InFlight>,
    slots: Arc<Semaphore>,
    temporary: AtomicU64,
    // Held for as long as the store is.
    _lock: File,
}

impl ImageStore {
    /// Opens or makes a store, and removes what a stop left unfinished.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Limits::default())
    }

    /// As [`ImageStore::open`], with these limits.
    pub fn open_with(dir: &Path, limits: Limits) -> Result<Self, StoreError> {
        use std::os::unix::fs::PermissionsExt as _;
        fs::create_dir_all(dir).map_err(StoreError::io(dir, "make folder"))?;
        // Layers hold programs with setuid and files of any owner: nobody but root walks in.
        let read_only = is_read_only(dir);
        if !read_only {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                .map_err(StoreError::io(dir, "set mode"))?;
        }
        // A lock needs no write: what is on a disk that became read-only can still be used.
        let lock = dir.join("lock");
        let lock = if read_only { File::open(lock) } else { File::create(lock) };
        let lock = lock.map_err(StoreError::io(dir, "make lock file"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::InUse { path: dir.to_owned() }),
            Err(e) => return Err(StoreError::io(dir, "lock")(e.into())),
        }
        if !read_only {
            make_folders(dir)?;
        }
        let path = dir.join("images.json");
        let records = Records::load(&path).map_err(StoreError::io(&path, "read"))?;
        let inner = Inner {
            dir: dir.to_owned(),
            limits,
            records: Mutex::new(records),
            inflight: Arc::default(),
            slots: Arc::new(Semaphore::new(PARALLEL_LAYERS)),
            temporary: AtomicU64::new(0),
            _lock: lock,
        };
        let store = Self { inner: Arc::new(inner) };
        store.remove_set_aside();
        Ok(store)
    }

    /// The image of a name, where all of it is here.
    pub fn get(&self, reference: &ImageReference) -> Option<Image> {
        let record = self.records().find(&name(reference), reference.digest())?;
        self.load(record)
    }

    /// All names and their images; names of images that are damaged are left out.
    pub fn list(&self) -> Vec<(String, Image)> {
        let records = self.records().clone();
        records.images.into_iter().filter_map(|(name, record)| Some((name, self.load(record)?))).collect()
    }

    pub(crate) fn load(&self, record: Record) -> Option<Image> {
        let manifest = match Document::parse(&self.read_blob(&record.manifest, MAX_MANIFEST_BYTES as u64)?) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) | Err(_) => return None,
        };
        let config = self.read_blob(&manifest.config.digest, MAX_CONFIG_BYTES)?;
        let ConfigDocument { config, diff_ids } =
            ConfigDocument::parse(&config, manifest.layers.len()).ok()?;
        let layer_dirs: Vec<PathBuf> = diff_ids.iter().map(|layer| self.layer_path(layer)).collect();
        let whole = layer_dirs.iter().all(|dir| dir.is_dir());
        let size = manifest.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        let Record { digest, manifest } = record;
        whole.then_some(Image { digest, manifest, config, layers: diff_ids, layer_dirs, size })
    }

    /// The bytes of a small blob; `None` where it is missing, too large, or not what its name says. A damaged one is
    /// removed, so that it is fetched again.
    pub(crate) fn read_blob(&self, digest: &Digest, limit: u64) -> Option<Vec<u8>> {
        let path = self.blob_path(digest);
        if fs::metadata(&path).ok()?.len() > limit {
            return None;
        }
        let bytes = fs::read(&path).ok()?;
        if digest.matches(&bytes) {
            return Some(bytes);
        }
        tracing::warn!(blob = %digest, "blob is damaged and removed");
        let _ = fs::remove_file(&path);
        None
    }

    /// Writes a small blob whose digest was checked.
    pub(crate) fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        atomic::write(&self.temporary(), &path, bytes).map_err(StoreError::io(&path, "write"))
    }

    /// Makes a name lead to an image, durably. What it led to before stays known by its digest: pods may still run it.
    pub(crate) fn record(&self, reference: &ImageReference, record: Record) -> Result<(), StoreError> {
        self.change_records(|records| {
            let before = records.images.insert(name(reference), record);
            if let Some(before) = before.filter(|before| *before != record) {
                records.images.insert(name(&reference.pinned(before.digest)), before);
            }
            before != Some(record)
        })
    }

    /// Edits the records; they are written where `edit` says that something changed.
    pub(crate) fn change_records(&self, edit: impl FnOnce(&mut Records) -> bool) -> Result<(), StoreError> {
        let mut records = self.records();
        let mut edited = records.clone();
        if edit(&mut edited) {
            let path = self.inner.dir.join("images.json");
            edited.save(&self.temporary(), &path).map_err(StoreError::io(&path, "write"))?;
            *records = edited;
        }
        drop(records);
        Ok(())
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // Replaced whole, so a panic elsewhere cannot leave them half changed.
        self.inner.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limits(&self) -> Limits {
        self.inner.limits
    }

    pub(crate) fn inflight(&self) -> &Arc<InFlight> {
        &self.inner.inflight
    }

    pub(crate) fn slots(&self) -> &Semaphore {
        &self.inner.slots
    }

    /// A path under `tmp/` that nobody else has.
    pub(crate) fn temporary(&self) -> PathBuf {
        let number = self.inner.temporary.fetch_add(1, Ordering::Relaxed);
        self.inner.dir.join("tmp").join(number.to_string())
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.inner.dir.join(name)
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.inner.dir.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.inner.dir.join("partial").join(digest.hex())
    }

    pub(crate) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.inner.dir.join("layers").join(diff_id.hex())
    }
}

/// A name as the records have it: always with a tag or a digest.
fn name(reference: &ImageReference) -> String {
    let text = reference.to_string();
    // The parser reads a missing tag as `latest`.
    if reference.digest().is_none() && !text.ends_with(&format!(":{}", reference.tag().unwrap_or_default())) {
        return format!("{text}:latest");
    }
    text
}

fn make_folders(dir: &Path) -> Result<(), StoreError> {
    let tmp = dir.join("tmp");
    match fs::remove_dir_all(&tmp) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StoreError::io(&tmp, "empty")(e)),
        _ => {}
    }
    for folder in ["tmp", "partial", "layers", "listings", "blobs/sha256"] {
        let path = dir.join(folder);
        fs::create_dir_all(&path).map_err(StoreError::io(&path, "make folder"))?;
    }
    Ok(())
}

fn is_read_only(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|s| s.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
#[path = "store_test.rs"]
mod tests;
