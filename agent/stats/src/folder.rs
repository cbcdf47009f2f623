//! How much disk a folder takes.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use gannet_protocols_model::ByteSize;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::Errno;

/// Entries that are looked at unless a caller knows better: more than a gateway's pod sensibly has, and a second or so.
pub const FOLDER_ENTRIES: usize = 200_000;
/// Paths of folders that wait for their turn.
const PATHS: usize = 4 << 20;

/// What a folder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderUsage {
    /// Blocks on the disk. A file with several names counts once.
    pub bytes: ByteSize,
    /// Inodes.
    pub inodes: u64,
    /// False where the bound was met or a folder could not be read: there is more.
    pub complete: bool,
}

/// Adds up a folder with all that is below it on the same file system. Links are not followed. Looks at no more than
/// `entries` of them. What goes away meanwhile counts as nothing, and so does a folder that is not there.
///
/// # Errors
/// The folder itself cannot be read.
pub fn folder_usage(path: &Path, entries: usize) -> io::Result<FolderUsage> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut walk = Walk {
        usage: FolderUsage { bytes: ByteSize(0), inodes: 0, complete: true },
        seen: BTreeSet::new(),
        left: entries,
        waiting: vec![Vec::new()],
        waiting_bytes: 0,
        device: 0,
    };
    let root = match openat(CWD, path, flags, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(walk.usage),
        Err(error) => return Err(error.into()),
    };
    let stat = rustix::fs::fstat(&root)?;
    walk.device = stat.st_dev;
    walk.add(&stat);
    while let Some(folder) = walk.waiting.pop() {
        walk.waiting_bytes -= folder.len();
        walk.folder(&root, &folder);
        if walk.left == 0 {
            walk.usage.complete = false;
            break;
        }
    }
    Ok(walk.usage)
}

struct Walk {
    usage: FolderUsage,
    /// Inodes with several names: bounded as the entries are.
    seen: BTreeSet<u64>,
    left: usize,
    /// Paths below the root.
    waiting: Vec<Vec<u8>>,
    waiting_bytes: usize,
    /// The file system.
    device: u64,
}

impl Walk {
    fn add(&mut self, stat: &rustix::fs::Stat) {
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_folder && stat.st_nlink > 1 && !self.seen.insert(stat.st_ino) {
            return;
        }
        self.usage.inodes += 1;
        self.usage.bytes.0 += u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    }

    fn folder(&mut self, root: &OwnedFd, path: &[u8]) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let below = if path.is_empty() { b".".as_slice() } else { path };
        let opened =
            openat2(root, below, flags, Mode::empty(), resolve).and_then(|fd| Ok((Dir::read_from(&fd)?, fd)));
        let (mut dir, fd) = match opened {
            Ok(opened) => opened,
            // Gone, or no folder any more; or of another file system, which counts by itself.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return,
            Err(_) => {
                self.usage.complete = false;
                return;
            }
        };
        while let Some(Ok(entry)) = dir.read() {
            let name: &CString = &entry.file_name().to_owned();
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            let Ok(stat) = statat(&fd, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
            else {
                continue;
            };
            if stat.st_dev != self.device {
                continue;
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                self.wait_for(path, name.as_bytes());
            }
            self.add(&stat);
        }
    }

    fn wait_for(&mut self, parent: &[u8], name: &[u8]) {
        let path = if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() };
        if self.waiting_bytes + path.len() > PATHS {
            self.usage.complete = false;
            return;
        }
        self.waiting_bytes += path.len();
        self.waiting.push(path);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn blocks(path: &Path) -> u64 {
        fs::symlink_metadata(path).unwrap().blocks() * 512
    }

    #[test]
    fn what_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(root.join("a/b/file"), root.join("again")).unwrap();
        fs::write(dir.path().join("outside"), vec![1; 1_000_000]).unwrap();
        symlink(dir.path(), root.join("link")).unwrap();
        let sparse = fs::File::create(root.join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        let paths = ["", "a", "a/b", "a/b/file", "link", "sparse"];
        let expect: u64 = paths.iter().map(|p| blocks(&root.join(p))).sum();
        let usage = folder_usage(&root, 100).unwrap();
        assert_eq!(usage, FolderUsage { bytes: ByteSize(expect), inodes: 6, complete: true });
        assert!((100_000..1_000_000).contains(&usage.bytes.0), "{usage:?}");
        let nothing = folder_usage(&root.join("nothing"), 100).unwrap();
        assert_eq!(nothing, FolderUsage { bytes: ByteSize(0), inodes: 0, complete: true });
        assert!(folder_usage(&root.join("again"), 100).is_err(), "a file is no folder");
    }

    #[test]
    fn the_bound_holds() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..20 {
            fs::write(dir.path().join(n.to_string()), "x").unwrap();
        }
        let usage = folder_usage(dir.path(), 5).unwrap();
        assert_eq!((usage.inodes, usage.complete), (6, false));
        let whole = folder_usage(dir.path(), 21).unwrap();
        assert_eq!((whole.inodes, whole.complete), (21, true));
    }

    #[test]
    fn other_file_systems_are_left_alone() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let before = folder_usage(dir.path(), 50).unwrap();
        let none = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", &inner, "tmpfs", none, None).unwrap();
        let written = fs::write(inner.join("file"), vec![1; 100_000]);
        let (outer, own) = (folder_usage(dir.path(), 50), folder_usage(&inner, 50));
        rustix::mount::unmount(&inner, rustix::mount::UnmountFlags::DETACH).unwrap();
        written.unwrap();
        let (outer, own) = (outer.unwrap(), own.unwrap());
        assert_eq!((outer.inodes, outer.complete), (before.inodes - 1, true));
        assert!(outer.bytes <= before.bytes && own.bytes.0 >= 100_000 && own.inodes == 2);
    }
}
