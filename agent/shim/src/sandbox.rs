//! What the containers of a pod share: namespaces, kept by bind mounts, and the parent of their cgroups.
//!
//! The mounts outlive the shim, so a second shim's containers join the same namespaces as the first one's. The network
//! namespace is the caller's, but for a pod with a user namespace: there it must be that one's own.

use std::fs;
use std::io;

use nix::sched::CloneFlags;
use nix::unistd::sethostname;

use crate::fault;
use crate::kernel::cgroup;
use crate::kernel::limits::{self, Limits};
use crate::kernel::namespaces::{self, Wanted};
use crate::kernel::pause;
use crate::layout::PodLayout;
use crate::record::{Sandbox, remove_file};

const DIRECTORIES: [&str; 5] = ["ns", "runc", "containers", "exits", "io"];

/// Those that are kept by mounts.
const NAMESPACES: [&str; 5] = ["ipc", "uts", "net", "pid", "user"];

/// Makes the pod's directories, namespaces and limits, those that are not there.
pub(crate) fn ensure(layout: &PodLayout, sandbox: &Sandbox) -> io::Result<()> {
    for name in DIRECTORIES {
        fs::create_dir_all(layout.dir().join(name))?;
    }
    let users = layout.namespace("user");
    if let Some(range) = sandbox.users {
        namespaces::ensure_users(&users, range)?;
    }
    let users = sandbox.users.map(|_| users.as_path());
    let make = |name: &str, flag, within: &dyn Fn() -> nix::Result<()>| {
        let path = layout.namespace(name);
        namespaces::ensure(&Wanted { name, flag, path: &path, users }, within, |_| Ok(()))
    };
    if !sandbox.host_ipc {
        make("ipc", CloneFlags::CLONE_NEWIPC, &|| Ok(()))?;
    }
    if !sandbox.host_uts {
        make("uts", CloneFlags::CLONE_NEWUTS, &|| sethostname(&sandbox.hostname))?;
    }
    if users.is_some() {
        make("net", CloneFlags::CLONE_NEWNET, &|| Ok(()))?;
    }
    if sandbox.share_pid {
        pause::ensure(layout, users)?;
    }
    if let Some(resources) = &sandbox.resources {
        let cgroup = layout.cgroup();
        cgroup::ensure(&cgroup)?;
        limits::apply(&cgroup, Limits::from(resources.as_ref())).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Before each container: what it joins may have died since.
pub(crate) fn ensure_alive(layout: &PodLayout, sandbox: &Sandbox) -> io::Result<()> {
    if !sandbox.share_pid {
        return Ok(());
    }
    let users = layout.namespace("user");
    pause::ensure(layout, sandbox.users.map(|_| users.as_path()))
}

/// Undoes [`ensure`], and removes all that a shim keeps. What others put into the directory stays, and so does it then.
pub(crate) fn remove(layout: &PodLayout) -> io::Result<()> {
    fault::point("shim.shutdown.begun");
    pause::remove(layout)?;
    for name in NAMESPACES {
        namespaces::forget(&layout.namespace(name))?;
    }
    fault::point("shim.shutdown.namespaces");
    cgroup::remove(&layout.cgroup())?;
    fault::point("shim.shutdown.cgroup");
    for name in DIRECTORIES {
        // Nothing is ever mounted below these, and the mounts of "ns" are gone.
        match fs::remove_dir_all(layout.dir().join(name)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    fault::point("shim.shutdown.folders");
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
