//! Blobs by content. What is damaged is set aside and counts as missing, so that it is fetched again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gannet_protocols_model::Digest;
use tokio::sync::Notify;
use tracing::warn;

use super::files::{Files, LedgerError, read};

/// Larger than any blob that the hub sends.
const MAX_BLOB_BYTES: u64 = 4 << 20;

/// The folder of blobs.
#[derive(Debug)]
pub(super) struct Blobs {
    dir: PathBuf,
    files: Files,
    /// Told when a blob was found damaged.
    pub(super) damaged: Notify,
}

impl Blobs {
    pub(super) fn open(ledger: &Path, files: Files) -> Result<Self, LedgerError> {
        let dir = ledger.join("blobs/sha256");
        fs::create_dir_all(&dir).map_err(LedgerError::io("make", &dir))?;
        Ok(Self { dir, files, damaged: Notify::new() })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.hex())
    }

    /// The blob, if it is here and whole.
    pub(super) fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.path(digest);
        let bytes = match read(&path, MAX_BLOB_BYTES) {
            Ok(bytes) => bytes?,
            Err(error) => {
                warn!(blob = %digest, ?error, "blob cannot be read");
                return None;
            }
        };
        if digest.matches(&bytes) {
            return Some(bytes);
        }
        warn!(blob = %digest, "blob is damaged and set aside");
        let _ = fs::rename(&path, path.with_extension("bad"));
        self.damaged.notify_one();
        None
    }

    /// Writes a blob, unless it is here.
    pub(super) fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<(), LedgerError> {
        if !digest.matches(bytes) {
            return Err(LedgerError::Digest { digest: *digest });
        }
        if self.get(digest).is_some() {
            return Ok(());
        }
        self.files.replace(&self.path(digest), bytes)
    }

    /// Removes all but these, also what was set aside or left half written.
    pub(super) fn retain(&self, keep: &BTreeSet<Digest>) -> Result<usize, LedgerError> {
        let keep: BTreeSet<String> = keep.iter().map(Digest::hex).collect();
        let mut removed = 0;
        for entry in fs::read_dir(&self.dir).map_err(LedgerError::io("read", &self.dir))? {
            let entry = entry.map_err(LedgerError::io("read", &self.dir))?;
            if entry.file_name().to_str().is_some_and(|name| keep.contains(name)) {
                continue;
            }
            match fs::remove_file(entry.path()) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(LedgerError::io("remove", &entry.path())(e));
                }
                _ => removed += 1,
            }
        }
        Ok(removed)
    }
}
