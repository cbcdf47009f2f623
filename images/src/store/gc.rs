//! Removes what no pod needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gannet_protocols_model::Digest;

use crate::store::atomic;
use crate::{Document, ImageStore, StoreError};

/// Downloads that broke off are kept this long for the pull that continues them.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Names.
    pub images: usize,
    /// Manifests, configurations, downloaded layers.
    pub blobs: usize,
    /// Unpacked layers.
    pub layers: usize,
}

impl ImageStore {
    /// Removes all images whose digest (as in [`crate::Image::digest`] or [`crate::Image::manifest`]) is not in use, with
    /// the blobs and layers that no other image needs. What a pull is working on stays. Safe to stop at any moment.
    pub fn remove_unused(&self, in_use: &BTreeSet<Digest>) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let mut keep_blobs = BTreeSet::new();
        let mut keep_layers = BTreeSet::new();
        let mut doomed = Vec::new();
        let mut all_known = true;
        self.change_records(|records| {
            let before = records.images.len();
            records
                .images
                .retain(|_, record| in_use.contains(&record.digest) || in_use.contains(&record.manifest));
            removed.images = before - records.images.len();
            removed.images > 0
        })?;
        // Names are gone before the bytes are: a name never leads to an image that is half there.
        self.change_records(|records| {
            for record in records.images.values() {
                keep_blobs.extend([record.digest, record.manifest]);
                let manifest = self.read_blob(&record.manifest, crate::MAX_MANIFEST_BYTES as u64);
                if let Some(Ok(Document::Manifest(manifest))) = manifest.map(|bytes| Document::parse(&bytes))
                {
                    keep_blobs.insert(manifest.config.digest);
                }
                match self.load(*record) {
                    Some(image) => keep_layers.extend(image.layers),
                    None => all_known = false,
                }
            }
            // Under the lock of the records, so that no pull that ends now can add what is being removed.
            removed.blobs = self.sweep("blobs/sha256", &keep_blobs, &mut doomed);
            // An image that is damaged may still be mounted: which layers are its own is not known.
            if all_known {
                removed.layers = self.sweep("layers", &keep_layers, &mut doomed);
                self.sweep("listings", &keep_layers, &mut doomed);
            }
            false
        })?;
        self.sweep_partial();
        for path in doomed {
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone.map_err(StoreError::io(&path, "remove"))?;
        }
        Ok(removed)
    }

    /// Moves what is not kept out of a folder, to be removed later.
    fn sweep(&self, folder: &str, keep: &BTreeSet<Digest>, doomed: &mut Vec<PathBuf>) -> usize {
        let folder = self.folder(folder);
        let mut moved = 0;
        for (path, digest) in entries(&folder) {
            if keep.contains(&digest) {
                continue;
            }
            let temporary = self.temporary();
            let renamed = self.inflight().unless_pinned(&digest, || fs::rename(&path, &temporary));
            match renamed {
                Some(Ok(())) => {
                    moved += 1;
                    doomed.push(temporary);
                }
                Some(Err(error)) => tracing::warn!(%error, path = %path.display(), "cannot remove"),
                None => {}
            }
        }
        if moved > 0 {
            let _ = atomic::sync_folder_of(&folder.join("x"));
        }
        moved
    }

    fn sweep_partial(&self) {
        for (path, digest) in entries(&self.folder("partial")) {
            let age = fs::metadata(&path)
                .and_then(|m| m.modified())
                .ok()
                .and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > PARTIAL_AGE) {
                // One that cannot be removed is tried again the next time.
                let _ = self.inflight().unless_pinned(&digest, || fs::remove_file(&path));
            }
        }
    }
}

/// The entries of a folder that are named by a digest.
fn entries(folder: &Path) -> Vec<(PathBuf, Digest)> {
    let Ok(read) = fs::read_dir(folder) else {
        return Vec::new();
    };
    read.flatten()
        .filter_map(|entry| {
            let digest = format!("sha256:{}", entry.file_name().to_str()?).parse().ok()?;
            Some((entry.path(), digest))
        })
        .collect()
}
