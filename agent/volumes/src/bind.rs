//! What a container's mount is made from: a place of the node that nobody can swap between its check and its use, and
//! whose mounts show where they should.
//!
//! Where a path must be resolved inside a volume, or where propagation is to be other than the kernel's default, the
//! agent binds what it opened to a place of its own in the pod's folder (`mounts/CONTAINER/N`), by descriptor. A container
//! has no way there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use gannet_protocols_model::MountPropagation;

use crate::mount_info::{self, mount_of};
use crate::prepare::is_label;
use crate::sub_path::open_sub_path;
use crate::{VolumeError, tmpfs};

/// Where a pod's private binds lie in its folder.
pub(crate) const FOLDER: &str = "mounts";

/// One mount of a container.
#[derive(Debug, Clone, Copy)]
pub struct MountRequest<'a> {
    /// The container's name.
    pub container: &'a str,
    /// Its place among the container's mounts.
    pub number: usize,
    /// Where the volume lies, as [`crate::prepare`] gave it.
    pub volume: &'a Path,
    /// Whether the volume is a path of the node, which may have mounts in it.
    pub of_node: bool,
    /// The path in the volume, if it is not the whole.
    pub sub_path: Option<&'a str>,
    /// Whether mounts made later show on the other side.
    pub propagation: MountPropagation,
}

/// The path to mount from. May be asked again for the next run of the container: what is there for it is made anew.
pub fn mount_source(pod_dir: &Path, request: &MountRequest<'_>) -> Result<PathBuf, VolumeError> {
    let own = request.propagation == MountPropagation::None && !request.of_node;
    let sub_path = request.sub_path.filter(|path| !path.is_empty());
    if sub_path.is_none() && own {
        return Ok(request.volume.to_owned());
    }
    if !request.of_node && request.propagation != MountPropagation::None {
        share(request.volume)?;
    }
    check_propagation(request)?;
    let source = match sub_path {
        Some(path) => open_sub_path(request.volume, path)?,
        None => open(request.volume, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(VolumeError::io("open volume", request.volume))?,
    };
    bind(pod_dir, request, &source)
}

/// What mounts of the node show in a container is what its file system passes on: where it passes on nothing, the
/// container is refused, as under kubelet.
fn check_propagation(request: &MountRequest<'_>) -> Result<(), VolumeError> {
    if request.propagation == MountPropagation::None {
        return Ok(());
    }
    let path = fs::canonicalize(request.volume).map_err(VolumeError::io("look at", request.volume))?;
    let mounts = mount_info::read().map_err(VolumeError::io("read mounts of", &path))?;
    let Some(mount) = mount_of(&mounts, &path) else { return Ok(()) };
    let (good, expected) = match request.propagation {
        MountPropagation::Bidirectional => (mount.shared, "shared"),
        _ => (mount.shared || mount.slave, "shared or slave"),
    };
    if good {
        return Ok(());
    }
    Err(VolumeError::Propagation { path, mount: mount.path.clone(), expected })
}

/// Makes a volume of the pod a mount of its own that passes mounts on.
fn share(volume: &Path) -> Result<(), VolumeError> {
    let path = fs::canonicalize(volume).map_err(VolumeError::io("look at", volume))?;
    let mounts = mount_info::read().map_err(VolumeError::io("read mounts of", &path))?;
    if mount_of(&mounts, &path).is_some_and(|m| m.path == path && m.shared) {
        return Ok(());
    }
    if !mounts.iter().any(|m| m.path == path) {
        mount(Some(&path), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(VolumeError::io("bind to itself", &path))?;
    }
    mount(None::<&str>, &path, None::<&str>, MsFlags::MS_SHARED, None::<&str>)
        .map_err(VolumeError::io("share mounts of", &path))
}

fn bind(pod_dir: &Path, request: &MountRequest<'_>, source: &OwnedFd) -> Result<PathBuf, VolumeError> {
    if !is_label(request.container) {
        return Err(VolumeError::Name { name: request.container.chars().take(100).collect() });
    }
    let folder = pod_dir.join(FOLDER).join(request.container);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(VolumeError::io("make folder", &folder))?;
    let target = folder.join(request.number.to_string());
    // That of an earlier run may be of something that is gone.
    clear(&target)?;
    let is_folder = is_folder(source).map_err(VolumeError::io("look at", &target))?;
    let made = if is_folder {
        DirBuilder::new().mode(0o755).create(&target)
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o644).open(&target).map(drop)
    };
    made.map_err(VolumeError::io("make mount point", &target))?;
    // The link of the descriptor leads to what was opened and not to a name.
    let from = format!("/proc/self/fd/{}", source.as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from.as_str()), &target, None::<&str>, flags, None::<&str>)
        .map_err(VolumeError::io("bind to", &target))?;
    let kind = match request.propagation {
        MountPropagation::None => MsFlags::MS_PRIVATE,
        MountPropagation::HostToContainer => MsFlags::MS_SLAVE,
        MountPropagation::Bidirectional => return Ok(target),
    };
    mount(None::<&str>, &target, None::<&str>, kind | MsFlags::MS_REC, None::<&str>)
        .map_err(VolumeError::io("set propagation of", &target))?;
    Ok(target)
}

fn is_folder(source: &OwnedFd) -> io::Result<bool> {
    Ok(File::from(source.try_clone()?).metadata()?.is_dir())
}

/// Takes away a bind and its mount point, and never what it is of.
fn clear(target: &Path) -> Result<(), VolumeError> {
    let meta = match fs::symlink_metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta.map_err(VolumeError::io("look at", target))?,
    };
    // What is mounted in a shared bind is mounted on the node too: it must not go there.
    let alone = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    // There may be several, where an agent died in between. No mount at all is no error.
    while mount(None::<&str>, target, None::<&str>, alone, None::<&str>).is_ok()
        && umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok()
    {}
    // What was bound is seen no more; the mount point itself is empty.
    let meta = fs::symlink_metadata(target).unwrap_or(meta);
    let removed = if meta.is_dir() { fs::remove_dir(target) } else { fs::remove_file(target) };
    removed.map_err(VolumeError::io("remove mount point", target))
}

/// Takes away all binds of a pod.
pub(crate) fn clear_all(pod_dir: &Path) -> Result<(), VolumeError> {
    let folder = pod_dir.join(FOLDER);
    for container in entries(&folder)? {
        for target in entries(&container)? {
            clear(&target)?;
        }
        fs::remove_dir(&container).map_err(VolumeError::io("remove", &container))?;
    }
    tmpfs::unmount_all(&folder)?;
    match fs::remove_dir(&folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(VolumeError::io("remove", &folder)(e)),
        _ => Ok(()),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let read = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(VolumeError::io("read", folder))?,
    };
    read.map(|entry| entry.map(|e| e.path()).map_err(VolumeError::io("read", folder))).collect()
}

#[cfg(test)]
#[path = "bind_test.rs"]
mod tests;
