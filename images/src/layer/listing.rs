//! What a layer was when it was unpacked: the content of each of its files, so that what the flash spoilt since is found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use sha2::Digest as _;

use gannet_protocols_model::Digest;

/// The size of a listing that is still read: of some hundred thousand files.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// The regular files of a layer by their paths, each with its content's digest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listing {
    files: BTreeMap<String, Digest>,
}

/// Reads on behalf of somebody else, and hashes what was read.
pub(crate) struct Hashed<R> {
    inner: R,
    hash: sha2::Sha256,
}

impl<R: Read> Hashed<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hash: sha2::Sha256::new() }
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_sha256(self.hash.finalize().into())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

impl Listing {
    /// A file was made; one of the same path is gone.
    pub(crate) fn add(&mut self, path: &str, content: Digest) {
        self.files.insert(path.to_owned(), content);
    }

    /// Something else took the place of a path.
    pub(crate) fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// As JSON, behind its own digest.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // A map of strings and digests always serializes.
        let json = serde_json::to_vec(&self.files).unwrap_or_default();
        [format!("{}\n", Digest::of(&json)).into_bytes(), json].concat()
    }

    /// The listing in such bytes; `None` where they are not what they were.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let at = bytes.iter().position(|b| *b == b'\n')?;
        let digest: Digest = std::str::from_utf8(&bytes[..at]).ok()?.parse().ok()?;
        let json = &bytes[at + 1..];
        let files = digest.matches(json).then(|| serde_json::from_slice(json).ok())??;
        Some(Self { files })
    }

    /// The first file that is not in the folder as it was.
    pub(crate) fn damaged(&self, folder: &Path) -> Option<&str> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(folder, flags, Mode::empty()).ok();
        let whole =
            |path: &str, content: &Digest| root.as_ref().and_then(|r| content_of(r, path)) == Some(*content);
        self.files.iter().find(|(path, content)| !whole(path, content)).map(|(path, _)| path.as_str())
    }
}

fn content_of(root: &OwnedFd, path: &str) -> Option<Digest> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(root, path, flags, Mode::empty(), resolve).ok()?;
    let mut content = Hashed::new(File::from(file));
    io::copy(&mut content, &mut io::sink()).ok()?;
    Some(content.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flipped_bytes_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut listing = Listing::default();
        let odd = "odd \"name\"\n\u{7f}\\ü\u{200b}";
        for (path, content) in [("a", "one"), (odd, "two"), ("gone", "three")] {
            std::fs::write(dir.path().join(path), content).unwrap();
            listing.add(path, Digest::of(content.as_bytes()));
        }
        listing.remove("gone");
        std::fs::write(dir.path().join("gone"), "something else").unwrap();
        let bytes = listing.to_bytes();
        assert_eq!(Listing::parse(&bytes), Some(listing.clone()));
        assert_eq!(listing.damaged(dir.path()), None);
        for (path, content) in [("a", "onf"), (odd, "tw")] {
            let before = std::fs::read(dir.path().join(path)).unwrap();
            std::fs::write(dir.path().join(path), content).unwrap();
            assert_eq!(listing.damaged(dir.path()), Some(path));
            std::fs::write(dir.path().join(path), before).unwrap();
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Listing::parse(&flipped), None, "byte {at}");
        }
        std::fs::remove_file(dir.path().join("a")).unwrap();
        assert_eq!(listing.damaged(dir.path()), Some("a"));
    }
}
