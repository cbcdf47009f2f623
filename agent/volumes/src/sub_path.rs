//! `subPath`: a part of a volume, whatever links a container left in it.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, mkdirat};

use crate::VolumeError;

/// The path of the node that `sub_path` means inside a volume; folders that are missing are made, as kubelet does.
///
/// Links inside the volume are followed, links out of it refused; the result has no link in it. A container that shares
/// the volume may still swap a folder for a link between this call and the mount, so mount at once, and without following
/// links where the runtime can.
pub fn resolve_sub_path(volume_dir: &Path, sub_path: &str) -> Result<PathBuf, VolumeError> {
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
                    Ok(()) => {}
                    Err(Errno::EEXIST) => return Err(wrong("leads through a link to nothing")),
                    Err(error) => return Err(VolumeError::io("make folder in volume", volume_dir)(error)),
                }
                beneath(&volume, &walked).map_err(VolumeError::io("open in volume", volume_dir))?
            }
            Err(Errno::EXDEV | Errno::ELOOP) => return Err(wrong("leads out of the volume")),
            Err(Errno::ENOTDIR) => return Err(wrong("leads through a file")),
            other => other.map_err(VolumeError::io("open in volume", volume_dir))?,
        };
    }
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    fs::read_link(link).map_err(VolumeError::io("resolve in volume", volume_dir))
}

fn beneath(volume: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(volume, path, how)
}
