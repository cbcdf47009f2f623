//! Folders in memory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::statvfs;

use crate::prepare::FOLDER;
use crate::{VolumeError, mount_info};

/// How a folder in memory is mounted.
pub(crate) struct Tmpfs {
    /// Bytes at the most; `None` is half of the machine's memory, the kernel's own bound.
    pub(crate) size: Option<u64>,
    pub(crate) flags: MsFlags,
    pub(crate) mode: u32,
    pub(crate) group: Option<u32>,
}

impl Tmpfs {
    /// Makes sure that it is mounted on the folder, which is made where it is missing. One that is there keeps its
    /// content and is made larger where it is too small.
    pub(crate) fn ensure(&self, folder: &Path) -> Result<(), VolumeError> {
        fs::create_dir_all(folder).map_err(VolumeError::io("make folder", folder))?;
        if is_mount_point(folder).map_err(VolumeError::io("look at", folder))? {
            return self.grow(folder);
        }
        let group = self.group.map_or_else(String::new, |group| format!(",gid={group}"));
        let options = format!("{}mode={:o}{group}", self.size_option(), self.mode);
        mount(Some("tmpfs"), folder, Some("tmpfs"), self.flags, Some(options.as_str()))
            .map_err(VolumeError::io("mount tmpfs on", folder))
    }

    fn grow(&self, folder: &Path) -> Result<(), VolumeError> {
        let Some(size) = self.size else { return Ok(()) };
        let now = statvfs(folder).map_err(VolumeError::io("look at", folder))?;
        if now.blocks().saturating_mul(now.fragment_size()) >= size {
            return Ok(());
        }
        let options = format!("size={size}");
        mount(None::<&str>, folder, None::<&str>, self.flags | MsFlags::MS_REMOUNT, Some(options.as_str()))
            .map_err(VolumeError::io("make tmpfs larger on", folder))
    }

    fn size_option(&self) -> String {
        // To the kernel a size of 0 means none at all, to Kubernetes too.
        self.size.filter(|&bytes| bytes > 0).map_or_else(String::new, |bytes| format!("size={bytes},"))
    }
}

/// Makes sure that the pod has its shared memory, 64 MiB as container engines give, and says where. It goes with the
/// volumes.
pub fn shared_memory(pod_dir: &Path) -> Result<PathBuf, VolumeError> {
    // No volume can have this name.
    let folder = pod_dir.join(FOLDER).join(".shm");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Tmpfs { size: Some(64 << 20), flags, mode: 0o1777, group: None }.ensure(&folder)?;
    Ok(folder)
}

/// Whether another file system starts here.
fn is_mount_point(folder: &Path) -> io::Result<bool> {
    let parent = folder.parent().unwrap_or(folder);
    Ok(fs::symlink_metadata(folder)?.dev() != fs::metadata(parent)?.dev())
}

/// Unmounts all that is mounted in a folder, the innermost first, and makes sure that nothing is left: what lies in a
/// mount that is forgotten would be removed with the folder.
pub(crate) fn unmount_all(folder: &Path) -> Result<(), VolumeError> {
    let folder = match fs::canonicalize(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        path => path.map_err(VolumeError::io("look at", folder))?,
    };
    let read = || mount_info::read().map_err(VolumeError::io("read mounts below", &folder));
    // Later mounts may lie in or over earlier ones. Where mounts are shared, one may take others with it.
    for mount in read()?.iter().rev().filter(|m| m.path.starts_with(&folder)) {
        // A container that is being stopped may still look inside.
        match umount2(&mount.path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) | Ok(()) => {}
            Err(error) => return Err(VolumeError::io("unmount", &mount.path)(error)),
        }
    }
    match read()?.into_iter().find(|m| m.path.starts_with(&folder)) {
        Some(mount) => {
            Err(VolumeError::io("unmount", &mount.path)(io::Error::from(io::ErrorKind::ResourceBusy)))
        }
        None => Ok(()),
    }
}
