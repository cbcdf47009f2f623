//! The data folder and its disk.

use std::fs;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags};

use super::finding::{Finding, Findings, good, warning, wrong};
use crate::clock::wall;
use crate::node_info::disk_space;

/// Less free disk than this makes pulls fail.
const LEAST_FREE: u64 = 256 << 20;
/// With less nothing can be written at all.
const FULL: u64 = 1 << 20;
/// Of a hundred: a disk with fewer free inodes is as good as full.
const LEAST_INODES_PERCENT: u64 = 5;

pub(super) fn check(findings: &mut Findings, dir: &Path) {
    let writable = writable(dir);
    let well = matches!(writable, Finding::Ok { .. });
    findings.add("data folder", writable);
    findings.add("disk", space(dir));
    findings.add("inodes", inodes(dir));
    findings.add("reserved disk", reserve(dir));
    if well {
        findings.add("overlayfs on the data folder", overlay(dir));
    }
    let ledger = dir.join("ledger");
    if let Some(floor) = crate::ledger::read_time(&ledger) {
        let now = wall();
        findings.add(
            "time of the ledger",
            match now >= floor {
                true => good(format!("the newest time seen is {floor}")),
                false => warning(
                    format!("the clock says {now}, the ledger has already seen {floor}"),
                    "set the clock; until then the agent goes on from the ledger's time",
                ),
            },
        );
    }
}

fn writable(dir: &Path) -> Finding {
    let probe = dir.join(".doctor");
    let tried =
        fs::create_dir_all(dir).and_then(|()| fs::write(&probe, b"x")).and_then(|()| fs::remove_file(&probe));
    let dir = dir.display();
    match tried {
        Ok(()) => good(format!("{dir} can be written")),
        Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => wrong(
            format!(
                "{dir} is on a read-only file system: pods run from what is there, nothing new is accepted"
            ),
            "look for errors of the disk (`dmesg`); then mount it with write access: mount -o remount,rw",
        ),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => {
            wrong(format!("{dir} is full"), "make room: look with `df` and `du` for what takes it")
        }
        Err(error) => {
            wrong(format!("{dir} cannot be written: {error}"), "be root, or name another with --data-dir")
        }
    }
}

fn space(dir: &Path) -> Finding {
    match disk_space(dir) {
        Ok((size, free)) if free >= LEAST_FREE => good(format!("{} of {} MiB free", free >> 20, size >> 20)),
        Ok((_, free)) if free < FULL => {
            wrong("no room at all", "make room: look with `df` and `du` for what takes it")
        }
        Ok((_, free)) => warning(
            format!("only {} MiB free", free >> 20),
            "make room: images that are pulled need more than 256 MiB",
        ),
        Err(error) => warning(format!("free space is not known: {error}"), "look with `df`"),
    }
}

fn inodes(dir: &Path) -> Finding {
    match rustix::fs::statvfs(dir) {
        // Some file systems count none.
        Ok(stat) if stat.f_files == 0 => good("not counted by this file system"),
        Ok(stat) if stat.f_favail >= stat.f_files / 100 * LEAST_INODES_PERCENT => {
            good(format!("{} of {} free", stat.f_favail, stat.f_files))
        }
        Ok(stat) => warning(
            format!(
                "only {} of {} free: files cannot be made though there is room",
                stat.f_favail, stat.f_files
            ),
            "remove files, or make the file system anew with more inodes (mkfs.ext4 -N)",
        ),
        Err(error) => warning(format!("not known: {error}"), "look with `df -i`"),
    }
}

fn reserve(dir: &Path) -> Finding {
    match fs::metadata(dir.join(crate::reserve::NAME)) {
        Ok(meta) => good(format!("{} MiB are the agent's alone", meta.len() >> 20)),
        Err(_) => good("none is held: the agent takes it when there is room"),
    }
}

/// By mounting one, since not every file system can be written through overlayfs.
fn overlay(dir: &Path) -> Finding {
    if !rustix::process::geteuid().is_root() {
        return warning("not tried without root", "run this as root");
    }
    let base = dir.join(format!(".doctor-{}", std::process::id()));
    let tried = mount_there(&base);
    let _ = fs::remove_dir_all(&base);
    match tried {
        Ok(()) => good("containers can be mounted"),
        Err(error) => wrong(
            format!("containers cannot be mounted on {}: {error}", dir.display()),
            "use ext4, xfs, btrfs or f2fs for the data folder: network file systems, vfat and another overlayfs do not do",
        ),
    }
}

fn mount_there(base: &Path) -> io::Result<()> {
    for folder in ["lower", "upper", "work", "merged"] {
        fs::create_dir_all(base.join(folder))?;
    }
    let at = |name: &str| base.join(name).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    let merged = base.join("merged");
    rustix::mount::mount("overlay", &merged, "overlay", MountFlags::empty(), Some(options.as_c_str()))?;
    let written = fs::write(merged.join("x"), b"x");
    rustix::mount::unmount(&merged, UnmountFlags::DETACH)?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_at_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut findings = Findings::default();
        check(&mut findings, dir.path());
        assert!(matches!(findings.checks[0].finding, Finding::Ok { .. }), "{findings:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{findings:?}");
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(writable(&file), Finding::Wrong { .. }), "not a folder");
    }
}
