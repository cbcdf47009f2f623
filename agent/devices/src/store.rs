//! Grants on disk and in memory: written beside, flushed, renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::allocate::Grants;

/// Raised when an old field changes its meaning.
const VERSION: u32 = 1;

/// Grants cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct StoreError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    version: u32,
    grants: Grants,
}

/// Where grants are kept: in memory for the next agent of this boot, on the disk for the next boot.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) volatile: PathBuf,
    pub(crate) durable: PathBuf,
}

impl Store {
    /// What was kept. A file that is no good is set aside.
    pub(crate) fn load(&self) -> Grants {
        [&self.volatile, &self.durable].into_iter().find_map(|path| load(path)).unwrap_or_default()
    }

    pub(crate) fn save(&self, grants: &Grants) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(&OnDisk { version: VERSION, grants: grants.clone() });
        let bytes = bytes.map_err(|e| StoreError { path: self.durable.clone(), source: e.into() })?;
        // After a reboot nothing runs, and any unit will do: a disk that is full or read-only keeps nobody from its device.
        let _ = write(&self.durable, &bytes);
        write(&self.volatile, &bytes).map_err(|source| StoreError { path: self.volatile.clone(), source })
    }
}

fn load(path: &Path) -> Option<Grants> {
    let bytes = fs::read(path).ok()?;
    match serde_json::from_slice::<OnDisk>(&bytes) {
        Ok(file) if file.version == VERSION => Some(file.grants),
        _ => {
            let _ = fs::rename(path, path.with_extension("corrupt"));
            None
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().ok_or_else(|| io::Error::other("a file has a folder"))?;
    File::open(folder)?.sync_all()
}
