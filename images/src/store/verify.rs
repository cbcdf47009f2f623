//! Finds what the disk spoilt: blobs by their digest whenever they are read, layers by what they were when somebody asks.

use std::fs;
use std::io;
use std::path::PathBuf;

use gannet_protocols_model::Digest;

use crate::layer::listing::{self, Listing};
use crate::store::atomic;
use crate::{Image, ImageStore, StoreError};

impl ImageStore {
    /// Reads all files of an image, and sets layers aside that are not as they were when they were unpacked: then the image
    /// is not here any more, and the next pull brings it. Tells which layers. Containers that run from one go on with what
    /// they have. Waits for the disk, long.
    ///
    /// # Errors
    /// A damaged layer cannot be set aside.
    pub fn verify(&self, image: &Image) -> Result<Vec<Digest>, StoreError> {
        let mut damaged = Vec::new();
        for layer in &image.layers {
            // Of a layer whose listing is gone nothing can be said.
            let Some(listing) = self.listing(layer) else { continue };
            let folder = self.layer_path(layer);
            if let Some(path) = listing.damaged(&folder).filter(|_| folder.is_dir()) {
                tracing::warn!(%layer, path, "layer is damaged and set aside");
                self.set_aside(layer)?;
                damaged.push(*layer);
            }
        }
        Ok(damaged)
    }

    fn listing_path(&self, layer: &Digest) -> PathBuf {
        self.folder("listings").join(layer.hex())
    }

    fn listing(&self, layer: &Digest) -> Option<Listing> {
        let path = self.listing_path(layer);
        let bytes = fs::metadata(&path)
            .ok()
            .filter(|m| m.len() <= listing::MAX_BYTES)
            .and_then(|_| fs::read(&path).ok())?;
        Listing::parse(&bytes)
    }

    /// Keeps what a layer is, before the layer itself gets its name.
    pub(crate) fn keep_listing(&self, layer: &Digest, listing: &Listing) -> io::Result<()> {
        atomic::write(&self.temporary(), &self.listing_path(layer), &listing.to_bytes())
    }

    /// Takes a layer's name away. What runs from it may still need its files: they go after the next boot.
    fn set_aside(&self, layer: &Digest) -> Result<(), StoreError> {
        let folder = self.layer_path(layer);
        let mut number = 0;
        let aside = loop {
            let aside = self.folder("layers").join(format!("{}.bad-{number}-{}", layer.hex(), boot_id()));
            if !aside.exists() {
                break aside;
            }
            number += 1;
        };
        fs::rename(&folder, &aside)
            .and_then(|()| atomic::sync_folder_of(&folder))
            .map_err(StoreError::io(&folder, "set aside"))
    }

    /// Removes layers that were set aside before this boot: nothing runs from them any more.
    pub(crate) fn remove_set_aside(&self) {
        let this_boot = boot_id();
        for entry in fs::read_dir(self.folder("layers")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(".bad-") && !name.ends_with(&this_boot) {
                // One that cannot be removed now is tried again at the next start.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
