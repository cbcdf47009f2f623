//! Files of images and pods, read and removed so that nothing in them leads elsewhere.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Larger than any `passwd` that makes sense.
const MAX_TEXT: u64 = 1 << 20;

/// Reads a file of an image as the container would see it: links stay inside. Empty where there is none.
pub(super) fn read_in_root(root: &Path, path: &str) -> io::Result<String> {
    let open = || -> Result<OwnedFd, rustix::io::Errno> {
        let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // Not blocking: an image may hold a FIFO by this name.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat2(
            root,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    };
    let file = match open() {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            return Ok(String::new());
        }
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Unmounts everything below a folder, the innermost first.
pub(crate) fn unmount_below(folder: &Path) -> io::Result<()> {
    let mut inside: Vec<PathBuf> = mount_points(&fs::read_to_string("/proc/self/mountinfo")?)
        .filter(|p| p.starts_with(folder) && p != folder)
        .collect();
    inside.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    for path in inside {
        gannet_images::unmount(&path).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Removes a folder with all in it; nothing there is fine. What is mounted in it is unmounted first.
pub(super) fn remove_folder(folder: &Path) -> io::Result<()> {
    unmount_below(folder)?;
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes what is left of a pod's cgroups, in every hierarchy. The runtime removes those that it knows; this is for
/// pods whose state in memory was lost. A cgroup with a process in it stays.
pub(super) fn remove_pod_cgroups(pod: &str) {
    for parent in cgroup_parents() {
        let group = parent.join(pod);
        for inner in fs::read_dir(&group).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(inner.path());
        }
        let _ = fs::remove_dir(group);
    }
}

/// Removes the parents of all pods' cgroups, where no other agent of this machine uses them.
pub(crate) fn remove_cgroup_parents() {
    for parent in cgroup_parents() {
        let _ = fs::remove_dir(parent);
    }
}

/// `gannet` in every hierarchy, wherever they are mounted: v1, hybrid, v2.
fn cgroup_parents() -> impl Iterator<Item = PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join("gannet"))
}

/// The mount points of a `mountinfo` (proc_pid_mountinfo(5)): the fifth field, with octal escapes.
fn mount_points(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines().filter_map(|line| line.split(' ').nth(4)).map(|field| {
        let mut path = String::with_capacity(field.len());
        let mut rest = field;
        while let Some(at) = rest.find('\\') {
            path.push_str(&rest[..at]);
            let code = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
            match code {
                Some(code) => path.push(char::from(code)),
                None => path.push('\\'),
            }
            rest = rest.get(at + if code.is_some() { 4 } else { 1 }..).unwrap_or_default();
        }
        path.push_str(rest);
        PathBuf::from(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_an_image_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("etc/outside")).unwrap();
        std::os::unix::fs::symlink("/etc/real", root.path().join("etc/inside")).unwrap();
        fs::write(root.path().join("etc/real"), "text").unwrap();
        for (path, expect) in [
            ("etc/outside", ""),
            ("etc/inside", "text"),
            ("etc", ""),
            ("none", ""),
            ("../../etc/hostname", ""),
        ] {
            assert_eq!(read_in_root(root.path(), path).unwrap(), expect, "{path}");
        }
    }

    #[test]
    fn mount_points_with_spaces() {
        let text = "36 35 98:0 / /a\\040b/c rw - ext4 /dev/x rw\n37 35 98:0 / /plain rw - tmpfs t rw\n";
        let got: Vec<PathBuf> = mount_points(text).collect();
        assert_eq!(got, [PathBuf::from("/a b/c"), PathBuf::from("/plain")]);
    }
}
