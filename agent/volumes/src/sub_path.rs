//! `subPath`: a part of a volume, whatever links a container left in it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};

use crate::VolumeError;

/// How often a look-up is tried again that a rename at the same time disturbed.
const TRIES: u32 = 64;

/// Opens what `sub_path` means inside a volume; folders that are missing are made with the mode of the volume, as kubelet
/// does. Links inside the volume are followed, links out of it refused. The descriptor stays what it is, whatever a
/// container does to the path from now on.
pub(crate) fn open_sub_path(volume_dir: &Path, sub_path: &str) -> Result<OwnedFd, VolumeError> {
    let wrong = |reason| VolumeError::SubPath { sub_path: sub_path.chars().take(200).collect(), reason };
    if sub_path.starts_with('/') {
        return Err(wrong("must be a relative path"));
    }
    if sub_path.split('/').any(|part| part == "..") || sub_path.contains('\0') {
        return Err(wrong("must not contain '..'"));
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut found: OwnedFd =
        open(volume_dir, flags, Mode::empty()).map_err(VolumeError::io("open volume", volume_dir))?;
    let volume = found.try_clone().map_err(VolumeError::io("open volume", volume_dir))?;
    let mut walked = String::from(".");
    for part in sub_path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        walked = format!("{walked}/{part}");
        found = match beneath(&volume, &walked) {
            Err(Errno::ENOENT) => {
                // "Exists" where a link leads nowhere: nothing is made at its other end.
                match mkdirat(found.as_fd(), part, Mode::from_bits_truncate(0o755)) {
                    Ok(()) => same_mode(volume_dir, &found, part)?,
                    Err(Errno::EEXIST) => return Err(wrong("leads through a link to nothing")),
                    Err(error) => return Err(VolumeError::io("make folder in volume", volume_dir)(error)),
                }
                match beneath(&volume, &walked) {
                    Err(Errno::EXDEV | Errno::ELOOP) => return Err(wrong("leads out of the volume")),
                    other => other.map_err(VolumeError::io("open in volume", volume_dir))?,
                }
            }
            Err(Errno::EXDEV | Errno::ELOOP) => return Err(wrong("leads out of the volume")),
            Err(Errno::ENOTDIR) => return Err(wrong("leads through a file")),
            other => other.map_err(VolumeError::io("open in volume", volume_dir))?,
        };
    }
    Ok(found)
}

/// The volume's own mode, past the umask.
fn same_mode(volume_dir: &Path, parent: &OwnedFd, name: &str) -> Result<(), VolumeError> {
    let volume = std::fs::metadata(volume_dir).map_err(VolumeError::io("look at", volume_dir))?;
    let mode = Mode::from_bits_truncate(volume.mode() & 0o7777);
    match fchmodat(parent, name, mode, FchmodatFlags::NoFollowSymlink) {
        // Gone again, or a link now: whoever swapped it gets no more than it had.
        Err(Errno::ENOENT | Errno::EOPNOTSUPP) | Ok(()) => Ok(()),
        Err(error) => Err(VolumeError::io("set mode of folder in volume", volume_dir)(error)),
    }
}

fn beneath(volume: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut last = Err(Errno::EAGAIN);
    for _ in 0..TRIES {
        last = openat2(volume, path, how);
        if !matches!(last, Err(Errno::EAGAIN)) {
            break;
        }
    }
    last
}
