//! What the containers of a pod share: the ipc and uts namespaces, kept by bind mounts, and the parent of their cgroups.
//!
//! The mounts outlive the shim, so a second shim's containers join the same namespaces as the first one's. The network
//! namespace is the caller's.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, sethostname};

use crate::cgroup;
use crate::fork;
use crate::layout::PodLayout;
use crate::record::{Sandbox, remove_file};

const DIRECTORIES: [&str; 5] = ["ns", "runc", "containers", "exits", "io"];

fn is_mounted(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == NSFS_MAGIC)
}

/// Makes the pod's directories and namespaces, those that are not there.
pub(crate) fn ensure(layout: &PodLayout, sandbox: &Sandbox) -> io::Result<()> {
    for name in DIRECTORIES {
        fs::create_dir_all(layout.dir().join(name))?;
    }
    if !sandbox.host_ipc {
        ensure_namespace(&layout.namespace("ipc"), CloneFlags::CLONE_NEWIPC, "ipc", || Ok(()))?;
    }
    if !sandbox.host_uts {
        let name = || sethostname(&sandbox.hostname);
        ensure_namespace(&layout.namespace("uts"), CloneFlags::CLONE_NEWUTS, "uts", name)?;
    }
    Ok(())
}

/// A namespace lives while it is mounted somewhere; it is made by a child, since one cannot leave one's own.
fn ensure_namespace(
    path: &Path,
    flag: CloneFlags,
    name: &str,
    set_up: impl FnOnce() -> nix::Result<()>,
) -> io::Result<()> {
    if is_mounted(path) {
        return Ok(());
    }
    File::create(path)?;
    let source = format!("/proc/self/ns/{name}");
    let none = None::<&str>;
    let pid = fork::child(&[], || {
        let made = unshare(flag)
            .and_then(|()| set_up())
            .and_then(|()| mount(Some(source.as_str()), path, none, MsFlags::MS_BIND, none));
        made.err().map_or(0, |errno| errno as i32)
    })?;
    match waitpid(Pid::from_raw(pid), None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, errno) => {
            let cause = Errno::from_raw(errno).desc();
            Err(io::Error::other(format!("cannot make the pod's {name} namespace: {cause}")))
        }
        other => Err(io::Error::other(format!("cannot make the pod's {name} namespace: {other:?}"))),
    }
}

/// Undoes [`ensure`], and removes all that a shim keeps. What others put into the directory stays, and so does it then.
pub(crate) fn remove(layout: &PodLayout) -> io::Result<()> {
    for name in ["ipc", "uts"] {
        let path = layout.namespace(name);
        while is_mounted(&path) {
            umount2(&path, MntFlags::MNT_DETACH)?;
        }
        remove_file(&path)?;
    }
    cgroup::remove(&layout.cgroup())?;
    for name in DIRECTORIES {
        // Nothing is ever mounted below these, and the mounts of "ns" are gone.
        match fs::remove_dir_all(layout.dir().join(name)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    for path in [layout.stderr(), layout.sandbox(), layout.socket(), layout.lock()] {
        remove_file(&path)?;
    }
    match fs::remove_dir(layout.dir()) {
        Err(err) if err.kind() != io::ErrorKind::NotFound && err.raw_os_error() != Some(libc::ENOTEMPTY) => {
            Err(err)
        }
        _ => Ok(()),
    }
}
