//! Folders in memory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::VolumeError;

/// Makes sure that a tmpfs is mounted on the folder, which is made where it is missing. One that is there stays.
pub(crate) fn ensure(folder: &Path, size: Option<u64>, flags: MsFlags) -> Result<(), VolumeError> {
    fs::create_dir_all(folder).map_err(VolumeError::io("make folder", folder))?;
    if is_mount_point(folder).map_err(VolumeError::io("look at", folder))? {
        return Ok(());
    }
    // To the kernel a size of 0 means none at all, to Kubernetes too.
    let size = size.filter(|&bytes| bytes > 0).map_or_else(String::new, |bytes| format!("size={bytes},"));
    let options = format!("{size}mode=0777");
    mount(Some("tmpfs"), folder, Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(VolumeError::io("mount tmpfs on", folder))
}

/// Whether another file system starts here.
fn is_mount_point(folder: &Path) -> io::Result<bool> {
    let parent = folder.parent().unwrap_or(folder);
    Ok(fs::symlink_metadata(folder)?.dev() != fs::metadata(parent)?.dev())
}

/// Unmounts all that is mounted in a folder, the innermost first.
pub(crate) fn unmount_all(folder: &Path) -> Result<(), VolumeError> {
    let folder = match fs::canonicalize(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        path => path.map_err(VolumeError::io("look at", folder))?,
    };
    let mounts =
        fs::read_to_string("/proc/self/mountinfo").map_err(VolumeError::io("read mounts below", &folder))?;
    // Later mounts may lie in or over earlier ones.
    for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(unescaped) {
        let point = Path::new(&point);
        if point.starts_with(&folder) {
            // A container that is being stopped may still look inside.
            umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                .map_err(VolumeError::io("unmount", point))?;
        }
    }
    Ok(())
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
