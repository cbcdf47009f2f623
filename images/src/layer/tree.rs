//! A folder that files are made in, from paths that nobody trusts: no path leads out of it, whatever symbolic links lie
//! in it. All goes through descriptors; the kernel (`openat2`, `RESOLVE_IN_ROOT`) follows links inside the folder only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat,
    chownat, fchmod, fchown, fsetxattr, futimens, linkat, makedev, mkdirat, mkfifoat, mknodat, openat,
    openat2, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::layer::entry::{EntryPath, Meta};
use crate::layer::listing::{Hashed, Listing};

/// The attribute by which overlayfs knows that a folder hides those below it.
const OPAQUE: &str = "trusted.overlay.opaque";

/// A layer's folder while it is being filled.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    // Set last: each file that is made in a folder changes the folder's time.
    folder_times: BTreeMap<EntryPath, i64>,
    listing: Listing,
}

impl Tree {
    /// Makes the folder itself.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        std::fs::create_dir(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        fchmod(&root, Mode::from_raw_mode(0o755))?;
        Ok(Self { root, folder_times: BTreeMap::new(), listing: Listing::default() })
    }

    /// Opens a folder of the tree, making it and its parents where they are missing.
    fn folder(&self, path: &EntryPath) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = || openat2(&self.root, path.as_text(), flags, Mode::empty(), resolve);
        match (open(), path.split()) {
            (Ok(folder), _) => Ok(folder),
            (Err(Errno::NOENT), Some((parent, name))) => {
                let parent = self.folder(&parent)?;
                // Fails with "exists" where a symbolic link leads nowhere: nothing is made at its other end.
                mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                let flags = flags | OFlags::NOFOLLOW;
                let folder = openat(&parent, name, flags, Mode::empty())?;
                fchmod(&folder, Mode::from_raw_mode(0o755))?;
                Ok(folder)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// The folder of a path and the name in it.
    fn parent<'a>(&self, path: &'a EntryPath) -> io::Result<(OwnedFd, &'a str)> {
        let (folder, name) = path.split().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.folder(&folder)?, name))
    }

    /// As [`Tree::parent`], with nothing of that name there any more. A folder is not replaced.
    fn vacant<'a>(&mut self, path: &'a EntryPath) -> io::Result<(OwnedFd, &'a str)> {
        self.listing.remove(&path.as_text());
        let (folder, name) = self.parent(path)?;
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((folder, name)),
            Err(error) => Err(error.into()),
        }
    }

    /// A folder; one that is there gets this owner and mode.
    pub(crate) fn directory(&mut self, path: &EntryPath, meta: &Meta) -> io::Result<()> {
        let folder = match path.split() {
            None => self.folder(path)?,
            Some(_) => {
                let (parent, name) = self.parent(path)?;
                let hides_lower = match kind_of(&parent, name)? {
                    Some(FileType::Directory) => false,
                    Some(kind) => {
                        self.listing.remove(&path.as_text());
                        unlinkat(&parent, name, AtFlags::empty())?;
                        mkdirat(&parent, name, Mode::RWXU)?;
                        // A whiteout of this layer came first: it still hides what lower layers have in this folder.
                        kind == FileType::CharacterDevice
                    }
                    None => {
                        mkdirat(&parent, name, Mode::RWXU)?;
                        false
                    }
                };
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = openat(&parent, name, flags, Mode::empty())?;
                if hides_lower {
                    fsetxattr(&folder, OPAQUE, b"y", XattrFlags::empty())?;
                }
                folder
            }
        };
        apply(&folder, meta)?;
        self.folder_times.insert(path.clone(), meta.mtime);
        Ok(())
    }

    /// A file with what `body` has. Returns how many bytes that were.
    pub(crate) fn file(&mut self, path: &EntryPath, meta: &Meta, body: &mut impl Read) -> io::Result<u64> {
        let (folder, name) = self.vacant(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&folder, name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut body = Hashed::new(body);
        let written = io::copy(&mut body, &mut file)?;
        self.listing.add(&path.as_text(), body.finish());
        apply(&file, meta)?;
        futimens(&file, &times(meta.mtime))?;
        Ok(written)
    }

    /// A symbolic link; where it leads does not matter.
    pub(crate) fn symlink(&mut self, path: &EntryPath, target: &str, meta: &Meta) -> io::Result<()> {
        let (folder, name) = self.vacant(path)?;
        symlinkat(target, &folder, name)?;
        chownat(
            &folder,
            name,
            Some(Uid::from_raw(meta.uid)),
            Some(Gid::from_raw(meta.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        utimensat(&folder, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// A second name of a file of this layer.
    pub(crate) fn hardlink(&mut self, path: &EntryPath, target: &EntryPath) -> io::Result<()> {
        let (target_folder, target_name) = target.split().ok_or(io::ErrorKind::InvalidInput)?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let target_folder = openat2(&self.root, target_folder.as_text(), flags, Mode::empty(), resolve)?;
        match kind_of(&target_folder, target_name)? {
            Some(FileType::RegularFile | FileType::Symlink | FileType::Fifo) => {}
            Some(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the other name is not a file"));
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        if path == target {
            return Ok(());
        }
        let (folder, name) = self.vacant(path)?;
        // Without AT_SYMLINK_FOLLOW the last name is linked itself, never what it leads to.
        Ok(linkat(&target_folder, target_name, &folder, name, AtFlags::empty())?)
    }

    /// A named pipe.
    pub(crate) fn fifo(&mut self, path: &EntryPath, meta: &Meta) -> io::Result<()> {
        let (folder, name) = self.vacant(path)?;
        mkfifoat(&folder, name, Mode::RUSR | Mode::WUSR)?;
        // It was made just now and nobody else writes here, so following is not possible.
        chownat(
            &folder,
            name,
            Some(Uid::from_raw(meta.uid)),
            Some(Gid::from_raw(meta.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        chmodat(&folder, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
        Ok(utimensat(&folder, name, &times(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Hides a file of lower layers, in overlayfs' way. What this layer has under the name stays.
    pub(crate) fn whiteout(&self, folder: &EntryPath, name: &str) -> io::Result<()> {
        let parent = self.folder(folder)?;
        match kind_of(&parent, name)? {
            None => Ok(mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?),
            Some(FileType::Directory) => self.opaque(&folder.join(name)),
            Some(_) => Ok(()),
        }
    }

    /// Hides all of a folder that lower layers have in it.
    pub(crate) fn opaque(&self, folder: &EntryPath) -> io::Result<()> {
        Ok(fsetxattr(self.folder(folder)?, OPAQUE, b"y", XattrFlags::empty())?)
    }

    /// Sets the folders' times and writes all to disk. Tells what is there now.
    pub(crate) fn finish(self) -> io::Result<Listing> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        for (path, mtime) in self.folder_times.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match openat2(&self.root, path.as_text(), flags, Mode::empty(), resolve) {
                Ok(folder) => futimens(&folder, &times(*mtime))?,
                // Reached through a symbolic link, or replaced since.
                Err(Errno::LOOP | Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        rustix::fs::syncfs(&self.root)?;
        Ok(self.listing)
    }
}

/// What lies under a name; links are not followed.
fn kind_of(folder: &OwnedFd, name: &str) -> io::Result<Option<FileType>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Owner, then mode (a change of owner clears setuid), then attributes (it clears capabilities too).
fn apply(file: &impl std::os::fd::AsFd, meta: &Meta) -> io::Result<()> {
    fchown(file, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    fchmod(file, Mode::from_raw_mode(meta.mode))?;
    for (name, value) in &meta.xattrs {
        match fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
            // The file system has none; the image runs without.
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn times(mtime: i64) -> Timestamps {
    let at = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}
