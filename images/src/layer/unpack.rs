//! A layer's tar becomes a folder that overlayfs can stack.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use gannet_protocols_model::Digest;

use crate::layer::decompress::{Budget, Checked, TooLarge, decompress};
use crate::layer::entry::{Entry, Extensions, Kind};
use crate::layer::listing::Listing;
use crate::layer::tree::Tree;

/// Why a layer is not unpacked. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive cannot be read or decompressed.
    #[error("archive is damaged")]
    Archive {
        /// What the reader said.
        #[source]
        source: io::Error,
    },
    /// The archive ends inside a file.
    #[error("archive is truncated")]
    Truncated,
    /// A long name, or PAX records, that are wrong.
    #[error("extension header: {reason}")]
    Extension {
        /// What is wrong.
        reason: String,
    },
    /// A path that no image needs.
    #[error("path {path:?} {reason}")]
    Path {
        /// The path in the archive.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A file that no image may bring.
    #[error("{path:?} is a {kind}, which images may not contain")]
    Special {
        /// The path in the archive.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// The image unpacks to more than its limit.
    #[error("image unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The image has more files than its limit.
    #[error("image has more than {limit} files")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// The tar is not the one that the image's configuration names.
    #[error("uncompressed layer has digest {found}, the image's configuration says {expected}")]
    DiffId {
        /// Of what was unpacked.
        found: Digest,
        /// In the configuration.
        expected: Digest,
    },
    /// A file cannot be made, or would lie outside the image.
    #[error("cannot unpack {path:?}")]
    Write {
        /// The path in the archive.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl UnpackError {
    pub(crate) fn archive(source: io::Error) -> Self {
        Self::Archive { source }
    }
}

/// Unpacks the layer `blob` into the new folder `target` and checks that it is `diff_id`. `limits` only word the error.
/// Tells what it unpacked.
pub(crate) fn unpack(
    blob: &Path,
    target: &Path,
    diff_id: &Digest,
    budget: &Budget,
    limits: crate::Limits,
) -> Result<Listing, UnpackError> {
    unpack_unchecked(blob, target, diff_id, budget, limits).map_err(|error| match error {
        UnpackError::Archive { source } | UnpackError::Write { source, .. }
            if source.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) =>
        {
            UnpackError::TooLarge { limit: limits.unpacked_bytes }
        }
        other => other,
    })
}

fn unpack_unchecked(
    blob: &Path,
    target: &Path,
    diff_id: &Digest,
    budget: &Budget,
    limits: crate::Limits,
) -> Result<Listing, UnpackError> {
    let file = File::open(blob).map_err(UnpackError::archive)?;
    let reader = Checked::new(decompress(file).map_err(UnpackError::archive)?, budget);
    let mut archive = tar::Archive::new(reader);
    let root = |source| UnpackError::Write { path: "/".into(), source };
    let mut tree = Tree::create(target).map_err(root)?;
    let mut extensions = Extensions::default();
    // Raw: the crate's own handling of long names reads them into memory whatever their size.
    for raw in archive.entries().map_err(UnpackError::archive)?.raw(true) {
        let mut raw = raw.map_err(UnpackError::archive)?;
        if !budget.take_entry() {
            return Err(UnpackError::TooMany { limit: limits.entries });
        }
        let header = raw.header().clone();
        if extensions.take(&header, &mut raw)? {
            continue;
        }
        let entry = std::mem::take(&mut extensions).entry(&header)?;
        make(&mut tree, &entry, &header, &mut raw)?;
    }
    let listing = tree.finish().map_err(root)?;
    let found = archive.into_inner().finish().map_err(UnpackError::archive)?;
    if found == *diff_id { Ok(listing) } else { Err(UnpackError::DiffId { found, expected: *diff_id }) }
}

fn make(
    tree: &mut Tree,
    entry: &Entry,
    header: &tar::Header,
    body: &mut impl Read,
) -> Result<(), UnpackError> {
    let Entry { path, kind, meta } = entry;
    let done = match kind {
        Kind::Directory => tree.directory(path, meta),
        Kind::Symlink(target) => tree.symlink(path, target, meta),
        Kind::Hardlink(target) => tree.hardlink(path, target),
        Kind::Fifo => tree.fifo(path, meta),
        Kind::Whiteout(name) => tree.whiteout(path, name),
        Kind::Opaque => tree.opaque(path),
        Kind::Skip => Ok(()),
        Kind::File => {
            let expected = header.entry_size().map_err(UnpackError::archive)?;
            match tree.file(path, meta, body) {
                Ok(written) if written != expected => return Err(UnpackError::Truncated),
                other => other.map(|_| ()),
            }
        }
    };
    done.map_err(|source| UnpackError::Write { path: path.as_text(), source })
}

#[cfg(test)]
#[path = "unpack_test.rs"]
mod tests;
