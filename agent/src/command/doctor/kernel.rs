//! What the kernel can: namespaces, file systems, system calls.

use std::fs;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::PidfdFlags;

use super::finding::{Finding, Findings, good, warning, wrong};
use super::try_out::{Tried, run};
use crate::executor::try_users;

/// Without these no container runs.
const NEEDED: [&str; 6] = ["pid", "mnt", "net", "ipc", "uts", "cgroup"];

pub(super) fn check(findings: &mut Findings) {
    findings.add("namespaces", namespaces());
    findings.add("overlayfs", overlay());
    findings.add("seccomp", seccomp());
    findings.add("pidfd", pidfd());
    findings.add("openat2", openat2());
}

fn namespaces() -> Finding {
    let there = |name: &&str| Path::new("/proc/self/ns").join(name).exists();
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !there(name)).collect();
    match missing.is_empty() {
        true => good(NEEDED.join(", ")),
        false => wrong(
            format!("the kernel has no namespaces of type {}", missing.join(", ")),
            "use a kernel with CONFIG_NAMESPACES and its options",
        ),
    }
}

/// Only pods with `hostUsers: false` need them. Tried where pods lie, as the agent does when it starts.
pub(super) fn check_users(findings: &mut Findings, data_dir: &Path) {
    findings.add("user namespaces", user_namespaces(data_dir));
}

fn user_namespaces(data_dir: &Path) -> Finding {
    let most = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    if !Path::new("/proc/self/ns/user").exists() {
        return warning(
            "the kernel has none: pods with `hostUsers: false` are refused",
            "use a kernel with CONFIG_USER_NS",
        );
    }
    if most.trim() == "0" {
        return warning(
            "none may be made: pods with `hostUsers: false` are refused",
            "sysctl -w user.max_user_namespaces=1000",
        );
    }
    if !data_dir.is_dir() {
        return good("the kernel has them; not tried, since there is no data folder yet");
    }
    match try_users(&data_dir.join(".doctor-users")) {
        Ok(()) => good("pods can have users of their own"),
        Err(error) => warning(
            format!("pods with `hostUsers: false` are refused: {error:#}"),
            "use a kernel of 5.19 or newer (6.3 for volumes in memory), and a file system below the data folder that can \
             map owners, such as ext4, xfs or btrfs",
        ),
    }
}

fn overlay() -> Finding {
    let known = || fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has = |text: String| text.lines().any(|line| line.ends_with("\toverlay"));
    match has(known()) || (matches!(run("modprobe", &["overlay"], ""), Tried::Worked) && has(known())) {
        true => good("the kernel has it"),
        false => wrong(
            "the kernel does not know overlayfs",
            "load the module `overlay`, or build the kernel with CONFIG_OVERLAY_FS",
        ),
    }
}

fn seccomp() -> Finding {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let missing: Vec<&str> = ["kill_process", "errno", "allow"]
        .into_iter()
        .filter(|action| !actions.split_whitespace().any(|known| known == *action))
        .collect();
    match missing.is_empty() {
        true => good("filters"),
        false => wrong(
            format!("the kernel cannot filter system calls as needed (no {})", missing.join(", ")),
            "use a kernel of 4.14 or newer with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn pidfd() -> Finding {
    match rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()) {
        Ok(_) => good("the kernel has it"),
        Err(error) => {
            wrong(format!("processes cannot be held by descriptors: {error}"), "use a kernel of 5.3 or newer")
        }
    }
}

fn openat2() -> Finding {
    let opened = rustix::fs::openat2(
        rustix::fs::CWD,
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    );
    match opened {
        Ok(_) => good("the kernel has it"),
        Err(error) => {
            wrong(format!("paths cannot be bounded to a folder: {error}"), "use a kernel of 5.6 or newer")
        }
    }
}
