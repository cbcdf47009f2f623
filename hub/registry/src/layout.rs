//! The registry on disk.
//!
//! ```text
//! blobs/sha256/HEX                        any blob, manifests too
//! repositories/NAME/_manifests/HEX        the repository has this manifest; holds its media type
//! repositories/NAME/_tags/TAG             holds a digest
//! uploads/ID                              unfinished; emptied at the start
//! ```
//! `_` starts no part of a name, so repositories may lie in each other. All methods wait for the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use gannet_images::atomic;
use gannet_protocols_model::Digest;

use crate::route::Version;

/// Why the registry's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("registry folder {path} cannot be made or emptied")]
pub struct LayoutError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
}

#[derive(Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
    temporary: AtomicU64,
}

impl Layout {
    pub(crate) fn open(dir: &Path) -> Result<Self, LayoutError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LayoutError { path, source }
        };
        let uploads = dir.join("uploads");
        match fs::remove_dir_all(&uploads) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(&uploads)(e)),
            _ => {}
        }
        for folder in [uploads, dir.join("blobs/sha256"), dir.join("repositories")] {
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
        }
        Ok(Self { dir: dir.to_owned(), temporary: AtomicU64::new(0) })
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn upload(&self, id: &str) -> PathBuf {
        self.dir.join("uploads").join(id)
    }

    fn temporary(&self) -> PathBuf {
        // Upload ids are hex digits alone.
        self.upload(&format!("tmp-{}", self.temporary.fetch_add(1, Ordering::Relaxed)))
    }

    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.dir.join("repositories").join(name)
    }

    pub(crate) fn repositories(&self) -> PathBuf {
        self.dir.join("repositories")
    }

    /// The manifest that a tag or digest means in a repository.
    pub(crate) fn find(&self, name: &str, version: &Version) -> io::Result<Option<Stored>> {
        let digest = match version {
            Version::Digest(digest) => Some(*digest),
            Version::Tag(tag) => read(&self.tag(name, tag))?.and_then(|text| text.parse().ok()),
        };
        let Some(digest) = digest else {
            return Ok(None);
        };
        Ok(read(&self.link(name, &digest))?.map(|media_type| Stored { digest, media_type }))
    }

    /// Stores a manifest, and the tag that leads to it last.
    pub(crate) fn put(
        &self,
        name: &str,
        tag: Option<&str>,
        bytes: &[u8],
        media_type: &str,
    ) -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        atomic::write(&self.temporary(), &self.blob(&digest), bytes)?;
        self.write(&self.link(name, &digest), media_type)?;
        if let Some(tag) = tag {
            self.write(&self.tag(name, tag), &digest.to_string())?;
        }
        Ok(digest)
    }

    /// Forgets a tag, or a manifest with all its tags; `false` where there is none. Blobs stay.
    pub(crate) fn remove(&self, name: &str, version: &Version) -> io::Result<bool> {
        let gone = |path: &Path| match fs::remove_file(path) {
            Ok(()) => atomic::sync_folder_of(path).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        };
        match version {
            Version::Tag(tag) => gone(&self.tag(name, tag)),
            Version::Digest(digest) => {
                for tag in self.tags(name)? {
                    let path = self.tag(name, &tag);
                    if read(&path)?.is_some_and(|text| text == digest.to_string()) {
                        gone(&path)?;
                    }
                }
                gone(&self.link(name, digest))
            }
        }
    }

    /// The tags of a repository, sorted.
    pub(crate) fn tags(&self, name: &str) -> io::Result<Vec<String>> {
        let mut tags = match fs::read_dir(self.repository(name).join("_tags")) {
            Ok(entries) => entries
                .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
                .collect::<Result<Vec<_>, _>>()?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        tags.sort();
        Ok(tags)
    }

    /// Writes a small file and the folders that lead to it, durably.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            match fs::create_dir(folder) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => atomic::sync_folder_of(folder)?,
            }
        }
        atomic::write(&self.temporary(), path, text.as_bytes())
    }

    fn link(&self, name: &str, digest: &Digest) -> PathBuf {
        self.repository(name).join("_manifests").join(digest.hex())
    }

    fn tag(&self, name: &str, tag: &str) -> PathBuf {
        self.repository(name).join("_tags").join(tag)
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}
