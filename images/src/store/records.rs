//! Which names lead to which images: one small file, rewritten whole.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use gannet_protocols_model::Digest;

use crate::store::atomic;

/// Where a name led when it was last pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What the registry has under the name: a manifest, or the index that chose it.
    pub(crate) digest: Digest,
    /// This machine's manifest.
    pub(crate) manifest: Digest,
}

/// All names, as operators wrote them, with a tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Records {
    pub(crate) images: BTreeMap<String, Record>,
}

impl Records {
    /// Reads the file. One that is not there or does not parse is empty: names can be asked for again.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, path = %path.display(), "image records do not parse, starting without");
                Self::default()
            })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e),
        }
    }

    /// Writes the file.
    pub(crate) fn save(&self, temporary: &Path, path: &Path) -> io::Result<()> {
        // Strings and digests always serialize.
        atomic::write(temporary, path, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// The record of a name, or of any name with this digest.
    pub(crate) fn find(&self, name: &str, digest: Option<Digest>) -> Option<Record> {
        let by_digest = |wanted: Digest| {
            self.images.values().find(|record| record.digest == wanted || record.manifest == wanted).copied()
        };
        match digest {
            Some(digest) => by_digest(digest),
            None => self.images.get(name).copied(),
        }
    }
}
