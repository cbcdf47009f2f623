//! An image's layers and one writable folder become a root file system.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::Image;

/// The kernel takes one page of mount options. (`lowerdir+` has no such bound, but needs Linux 6.5.)
const MAX_OPTIONS: usize = 4095;

/// Why a root file system is not mounted or unmounted.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub struct MountError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

pub(crate) fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> MountError {
    let path = path.to_owned();
    move |source| MountError { action, path, source: source.into() }
}

/// Mounts an image at `target`; all that is written lands in `upper`. `work` must be on the same file system as `upper`.
/// Folders are made where they are missing. Safe to call again: a target that already has this `upper` stays as it is,
/// anything else that is mounted there is unmounted.
pub fn mount_rootfs(image: &Image, upper: &Path, work: &Path, target: &Path) -> Result<(), MountError> {
    for folder in [work, target] {
        fs::create_dir_all(folder).map_err(failed("make folder", folder))?;
    }
    if mounted_upper(target).map_err(failed("read mounts of", target))?.as_deref() == Some(upper) {
        return Ok(());
    }
    unmount(target)?;
    let lower = lower_dirs(image);
    if !upper.exists() {
        make_upper(upper, lower.first().map(PathBuf::as_path)).map_err(failed("make folder", upper))?;
    }
    // An image without layers: overlayfs wants a lower folder all the same, and `work` has no files of its own.
    let empty = work.with_extension("empty");
    let lower = if lower.is_empty() {
        fs::create_dir_all(&empty).map_err(failed("make folder", &empty))?;
        vec![empty]
    } else {
        lower
    };
    mount_overlay(&lower, upper, work, target)
}

/// Mounts these folders, the highest first, below a writable one.
pub(crate) fn mount_overlay(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
) -> Result<(), MountError> {
    let direct = options(lower, upper, work);
    if direct.len() <= MAX_OPTIONS {
        return mount(&direct, target);
    }
    // Descriptors have shorter names than folders.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open =
        |path: &PathBuf| rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open layer", path));
    let held: Vec<OwnedFd> = lower.iter().map(open).collect::<Result<_, _>>()?;
    let short: Vec<PathBuf> =
        held.iter().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd()).into()).collect();
    mount(&options(&short, upper, work), target)
}

/// Unmounts what is mounted at `target`, however often; nothing there is fine.
pub fn unmount(target: &Path) -> Result<(), MountError> {
    loop {
        match rustix::mount::unmount(target, UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            // Somebody still looks inside: gone from the tree now, freed when they leave.
            Err(Errno::BUSY) => {
                let flags = UnmountFlags::NOFOLLOW | UnmountFlags::DETACH;
                rustix::mount::unmount(target, flags).map_err(failed("unmount", target))?;
            }
            Err(error) => return Err(failed("unmount", target)(error)),
        }
    }
}

/// The layers, highest first. Overlayfs refuses a folder twice; of a layer that is in an image twice the upper one
/// alone has the same effect, as it brings the same files and hides the same ones.
pub(crate) fn lower_dirs(image: &Image) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in image.layer_dirs.iter().rev() {
        if !dirs.contains(dir) {
            dirs.push(dir.clone());
        }
    }
    dirs
}

/// The writable folder's owner and mode are those of the container's root folder: take them from the image.
fn make_upper(upper: &Path, top: Option<&Path>) -> io::Result<()> {
    fs::create_dir_all(upper)?;
    let (mode, uid, gid) = match top.map(fs::metadata).transpose()? {
        Some(meta) => (meta.mode() & 0o7777, meta.uid(), meta.gid()),
        None => (0o755, 0, 0),
    };
    std::os::unix::fs::chown(upper, Some(uid), Some(gid))?;
    fs::set_permissions(upper, fs::Permissions::from_mode(mode))
}

fn options(lower: &[PathBuf], upper: &Path, work: &Path) -> Vec<u8> {
    let lower: Vec<Vec<u8>> = lower.iter().map(|path| escaped(path)).collect();
    [
        b"lowerdir=".as_slice(),
        &lower.join(&b':'),
        b",upperdir=",
        &escaped(upper),
        b",workdir=",
        &escaped(work),
    ]
    .concat()
}

/// Overlayfs splits options at commas, layers at colons.
fn escaped(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = path.as_os_str().as_bytes();
    bytes
        .iter()
        .flat_map(|&b| if matches!(b, b',' | b':' | b'\\') { vec![b'\\', b] } else { vec![b] })
        .collect()
}

fn mount(options: &[u8], target: &Path) -> Result<(), MountError> {
    let options = CString::new(options).map_err(failed("mount", target))?;
    rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())
        .map_err(failed("mount overlay on", target))
}

/// The writable folder of the overlay that is mounted at `target`.
pub(crate) fn mounted_upper(target: &Path) -> io::Result<Option<PathBuf>> {
    let target = fs::canonicalize(target)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(mounts.lines().rev().find_map(|line| upper_of(line, &target)))
}

fn upper_of(line: &str, target: &Path) -> Option<PathBuf> {
    let (mount, system) = line.split_once(" - ")?;
    let point = unescaped(mount.split(' ').nth(4)?);
    let mut system = system.split(' ');
    if Path::new(&point) != target || system.next()? != "overlay" {
        return None;
    }
    let upper = system.nth(1)?.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
    Some(PathBuf::from(unescaped(upper).replace('\\', "")))
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |t, (from, to)| t.replace(from, to))
}

#[cfg(test)]
#[path = "overlay_test.rs"]
mod tests;
