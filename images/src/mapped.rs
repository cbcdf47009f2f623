//! Root file systems for pods with users of their own: what is root's in the image is the pod's root's.
//!
//! The layers are shared by all pods, so they are shown through mounts that map their owners. Overlayfs itself makes files as
//! the node's root, which such a mount does not know: the writable folder belongs to the pod's users on the disk, too.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::mount::MoveMountFlags;

use crate::Image;
use crate::overlay::{MountError, failed, lower_dirs, mount_overlay, mounted_upper, unmount};

/// The pod's users.
#[derive(Clone, Copy)]
pub struct MappedUsers<'a> {
    /// The node's user that root is.
    pub first: u32,
    /// Gives a mount of a folder, attached to nothing yet, that maps the owners of its files.
    pub mount: &'a dyn Fn(&Path) -> io::Result<OwnedFd>,
}

impl fmt::Debug for MappedUsers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedUsers").field("first", &self.first).finish_non_exhaustive()
    }
}

/// Mounts an image at `DIR/rootfs` for a pod with users of its own; all that is written lands in `DIR/upper`. Safe to call
/// again, as [`crate::mount_rootfs`] is. Gives the root file system's place.
///
/// # Errors
/// The kernel cannot map the owners of the layers' file system, or cannot put an overlay above that (Linux 5.19 can).
pub fn mount_mapped_rootfs(
    image: &Image,
    dir: &Path,
    users: &MappedUsers<'_>,
) -> Result<PathBuf, MountError> {
    mount_layers(&lower_dirs(image), dir, users)
}

fn mount_layers(layers: &[PathBuf], dir: &Path, users: &MappedUsers<'_>) -> Result<PathBuf, MountError> {
    let [upper, work, target] = ["upper", "work", "rootfs"].map(|name| dir.join(name));
    for folder in [&work, &target] {
        fs::create_dir_all(folder).map_err(failed("make folder", folder))?;
    }
    if mounted_upper(&target).map_err(failed("read mounts of", &target))?.as_deref() == Some(&upper) {
        return Ok(target);
    }
    unmount(&target)?;
    make_upper(&upper, layers.first().map(PathBuf::as_path), users.first)
        .map_err(failed("make folder", &upper))?;
    let empty = [dir.join("empty")];
    let layers = if layers.is_empty() {
        fs::create_dir_all(&empty[0]).map_err(failed("make folder", &empty[0]))?;
        &empty
    } else {
        layers
    };
    let stage = dir.join("layers");
    clear(&stage, layers.len())?;
    let shown = show(layers, &stage, users);
    // The overlay holds its layers itself.
    let mounted = shown.and_then(|shown| mount_overlay(&shown, &upper, &work, &target));
    clear(&stage, layers.len())?;
    mounted.map(|()| target)
}

fn show(layers: &[PathBuf], stage: &Path, users: &MappedUsers<'_>) -> Result<Vec<PathBuf>, MountError> {
    let show = |(number, layer): (usize, &PathBuf)| {
        let mapped = (users.mount)(layer).map_err(failed("map the owners of", layer))?;
        let place = stage.join(number.to_string());
        fs::create_dir_all(&place).map_err(failed("make folder", &place))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&mapped, "", rustix::fs::CWD, &place, flags)
            .map_err(failed("mount a layer at", &place))?;
        Ok(place)
    };
    layers.iter().enumerate().map(show).collect()
}

/// Unmounts the layers, also those that somebody left who died here.
fn clear(stage: &Path, count: usize) -> Result<(), MountError> {
    for place in (0..count).map(|number| stage.join(number.to_string())) {
        unmount(&place)?;
    }
    match fs::read_dir(stage) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => {
            for entry in entries.map_err(failed("read", stage))? {
                let place = entry.map_err(failed("read", stage))?.path();
                // Never what is in a layer: a folder that is not empty stays, and is an error.
                fs::remove_dir(&place).map_err(failed("remove", &place))?;
            }
        }
    }
    fs::remove_dir(stage).map_err(failed("remove", stage))
}

/// As the image's root folder, but of the pod's users. One of other users is of a time before the machine started anew:
/// what ran there has ended.
fn make_upper(upper: &Path, top: Option<&Path>, first: u32) -> io::Result<()> {
    let (mode, uid, gid) = match top.map(fs::metadata).transpose()? {
        Some(meta) => (meta.mode() & 0o7777, meta.uid(), meta.gid()),
        None => (0o755, 0, 0),
    };
    let (uid, gid) = (first.saturating_add(uid), first.saturating_add(gid));
    match fs::symlink_metadata(upper) {
        Ok(meta) if meta.uid() == uid => return Ok(()),
        Ok(_) => fs::remove_dir_all(upper)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(upper)?;
    fs::set_permissions(upper, fs::Permissions::from_mode(mode))?;
    // Last: by its owner it is known to be whole.
    chown(upper, Some(uid), Some(gid))
}

/// Tries whether this kernel can do it on the file system of `scratch`, a folder that is made, and removed again.
///
/// # Errors
/// It cannot.
pub fn try_mapped(scratch: &Path, users: &MappedUsers<'_>) -> Result<(), MountError> {
    let target = scratch.join("rootfs");
    // That of somebody who died here.
    unmount(&target)?;
    clear(&scratch.join("layers"), 1)?;
    let tried = try_in(scratch, &target, users);
    let unmounted = unmount(&target);
    let removed = fs::remove_dir_all(scratch).map_err(failed("remove", scratch));
    tried.and(unmounted).and(removed)
}

fn try_in(scratch: &Path, target: &Path, users: &MappedUsers<'_>) -> Result<(), MountError> {
    let layer = scratch.join("layer");
    fs::create_dir_all(&layer).map_err(failed("make folder", &layer))?;
    let file = layer.join("file");
    fs::write(&file, "").map_err(failed("write", &file))?;
    mount_layers(&[layer], scratch, users)?;
    let seen = target.join("file");
    let owner = fs::metadata(&seen).map_err(failed("look at", &seen))?.uid();
    if owner == users.first {
        return Ok(());
    }
    Err(failed("map the owner of", &seen)(io::Error::other(format!("it is {owner}, not {}", users.first))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::OpenTreeFlags;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The owners are the kernel's matter; here, that layers are shown, and hidden again.
    #[test]
    fn layers_are_shown_and_hidden() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (low, high) = (dir.path().join("low"), dir.path().join("high"));
        write(&low.join("a"), "low");
        write(&low.join("b"), "low");
        write(&high.join("b"), "high");
        let copy = |path: &Path| {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            rustix::mount::open_tree(rustix::fs::CWD, path, flags).map_err(io::Error::from)
        };
        let refuse = |_: &Path| Err(io::Error::from(io::ErrorKind::InvalidInput));
        let run = dir.path().join("run");
        let layers = [high, low.clone()];
        let none = mount_layers(&layers, &run, &MappedUsers { first: 7000, mount: &refuse }).unwrap_err();
        assert!(none.to_string().starts_with("cannot map the owners of"), "{none}");
        let users = MappedUsers { first: 7000, mount: &copy };
        let root = mount_layers(&layers, &run, &users).unwrap();
        let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
        assert_eq!((read("a"), read("b")), ("low".to_owned(), "high".to_owned()));
        fs::write(root.join("a"), "changed").unwrap();
        assert_eq!(fs::metadata(run.join("upper")).unwrap().uid(), 7000);
        assert!(!run.join("layers").exists());
        // Again: as it is.
        assert_eq!(mount_layers(&layers, &run, &users).unwrap(), root);
        assert_eq!(read("a"), "changed");
        unmount(&root).unwrap();
        // Of the same users what was written stays; of others it is of another time.
        mount_layers(&layers, &run, &users).unwrap();
        assert_eq!(read("a"), "changed");
        unmount(&root).unwrap();
        mount_layers(&layers, &run, &MappedUsers { first: 9000, mount: &copy }).unwrap();
        assert_eq!(read("a"), "low");
        unmount(&root).unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(dir.path().to_str().unwrap()), "{mounts}");
        assert_eq!(fs::read_to_string(low.join("a")).unwrap(), "low");
        // Here the owners are not mapped, which the try finds.
        let tried = try_mapped(&dir.path().join("try"), &users).unwrap_err();
        assert!(std::error::Error::source(&tried).unwrap().to_string().contains("not 7000"), "{tried}");
        assert!(!dir.path().join("try").exists());
    }
}
