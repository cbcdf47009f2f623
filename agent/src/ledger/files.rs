//! Files that are whole or not there: written beside, flushed, renamed, the folder flushed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gannet_agent_shim::fault::point;
use gannet_protocols_model::{Digest, Generation};

use crate::reserve::give_up;

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The disk said no.
    #[error("ledger: cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A document that is older than the one that counts.
    #[error("desired document has generation {found}, the ledger already has {ledger}")]
    Generation {
        /// The generation of the document.
        found: Generation,
        /// The ledger's.
        ledger: Generation,
    },
    /// Bytes that are not what their name says.
    #[error("blob {digest} does not have the bytes that it is named by")]
    Digest {
        /// The name.
        digest: Digest,
    },
}

impl LedgerError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Writes files durably and counts the bytes. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    written: Arc<AtomicU64>,
}

impl Files {
    /// Bytes written since the start of the agent.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Replaces a file; after a power cut it is the old or the new one.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        // The data folder's reserved room is for this.
        let full = |e: &io::Error| e.kind() == io::ErrorKind::StorageFull;
        let written = match write() {
            Err(e) if full(&e) && data_folder(path).is_some_and(give_up) => write(),
            outcome => outcome,
        };
        if let Err(source) = written {
            // A full disk must not stay full of what did not fit.
            let _ = fs::remove_file(&temporary);
            return Err(LedgerError::io("write", &temporary)(source));
        }
        point("ledger.write.flushed");
        fs::rename(&temporary, path).map_err(LedgerError::io("rename", path))?;
        point("ledger.write.renamed");
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        sync_folder(path)
    }
}

/// The data folder of a file of the ledger.
fn data_folder(path: &Path) -> Option<&Path> {
    path.ancestors().find(|dir| dir.join("ledger").is_dir())
}

/// Makes a rename in the folder of this file durable.
fn sync_folder(path: &Path) -> Result<(), LedgerError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(LedgerError::io("flush", folder))
}

/// A file's bytes, `None` where there is none. What is larger than `limit` is not read.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, LedgerError> {
    let read = || -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("it has more than {limit} bytes")));
        }
        Ok(Some(bytes))
    };
    read().map_err(LedgerError::io("read", path))
}

/// A file in memory (`/run`): survives the agent, not the machine, and costs no flash.
#[derive(Debug, Clone)]
pub(crate) struct Volatile(PathBuf);

impl Volatile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        read(&self.0, super::records::MAX_RECORDS_BYTES).ok().flatten()
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), LedgerError> {
        let temporary = self.0.with_extension("tmp");
        let write = || fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &self.0));
        write().map_err(LedgerError::io("write", &self.0))
    }
}
