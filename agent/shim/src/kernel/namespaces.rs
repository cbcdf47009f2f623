//! Namespaces that outlive who made them: kept by bind mounts, owned by the pod's user namespace where it has one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, pipe2, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::fork;
use crate::record::remove_file;

/// Users and groups of the node that a pod's users and groups are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// What root of the pod is.
    pub first: u32,
    /// How many.
    pub count: u32,
}

pub(crate) fn is_mounted(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == NSFS_MAGIC)
}

/// Removes a namespace's name; fine where there is none.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    while is_mounted(path) {
        umount2(path, MntFlags::MNT_DETACH)?;
    }
    remove_file(path)
}

/// A pipe that both ends wait for.
pub(crate) fn waiting_pipe() -> io::Result<(File, File)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((read.into(), write.into()))
}

/// What a child says over a pipe: a number, 0 for "well"; an errno otherwise. Nothing where it died.
fn word(from: &mut File) -> io::Result<()> {
    let mut bytes = [0; 4];
    match from.read_exact(&mut bytes) {
        Ok(()) if bytes == [0; 4] => Ok(()),
        Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(bytes))),
        Err(_) => Err(io::Error::other("the process that should make it died")),
    }
}

pub(crate) fn say(mut to: &File, outcome: nix::Result<()>) {
    let number = outcome.err().map_or(0, |errno| errno as i32);
    let _ = to.write_all(&number.to_ne_bytes());
}

/// Becomes root of a user namespace.
pub(crate) fn enter_users(users: &File) -> nix::Result<()> {
    setns(users, CloneFlags::CLONE_NEWUSER)?;
    let (gid, uid) = (Gid::from_raw(0), Uid::from_raw(0));
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

/// A namespace to make.
pub(crate) struct Wanted<'a> {
    /// Its name in `/proc/PID/ns`.
    pub(crate) name: &'a str,
    pub(crate) flag: CloneFlags,
    /// Where it is kept.
    pub(crate) path: &'a Path,
    /// The user namespace that owns it; this process's own where there is none.
    pub(crate) users: Option<&'a Path>,
}

/// Makes a namespace where it is not there: in a child, which waits inside until the namespace is mounted.
///
/// `within` is done inside it, `before` by this process, which is given the child's pid.
pub(crate) fn ensure(
    wanted: &Wanted<'_>,
    within: impl FnOnce() -> nix::Result<()>,
    before: impl FnOnce(i32) -> io::Result<()>,
) -> io::Result<()> {
    if is_mounted(wanted.path) {
        return Ok(());
    }
    File::create(wanted.path)?;
    let users = wanted.users.map(File::open).transpose()?;
    let (mut made, to_parent) = waiting_pipe()?;
    let (mut from_parent, go) = waiting_pipe()?;
    let keep = [&to_parent, &from_parent].into_iter().chain(&users).map(AsRawFd::as_raw_fd).collect();
    let pid = fork::child(keep, || {
        let outcome = users
            .as_ref()
            .map_or(Ok(()), enter_users)
            .and_then(|()| unshare(wanted.flag))
            .and_then(|()| within());
        say(&to_parent, outcome);
        // Until the parent has mounted it, or died.
        let _ = from_parent.read(&mut [0]);
        0
    })?;
    drop(to_parent);
    let kept = word(&mut made)
        .and_then(|()| before(pid))
        .and_then(|()| keep_at(&format!("/proc/{pid}/ns/{}", wanted.name), wanted.path));
    drop(go);
    waitpid(Pid::from_raw(pid), None)?;
    kept.map_err(|err| io::Error::other(format!("cannot make the pod's {} namespace: {err}", wanted.name)))
}

fn keep_at(source: &str, path: &Path) -> io::Result<()> {
    let none = None::<&str>;
    mount(Some(source), path, none, MsFlags::MS_BIND, none).map_err(Into::into)
}

/// Makes the pod's user namespace: its root is nobody on the node.
pub(crate) fn ensure_users(path: &Path, range: IdRange) -> io::Result<()> {
    let wanted = Wanted { name: "user", flag: CloneFlags::CLONE_NEWUSER, path, users: None };
    ensure(&wanted, dumpable, |pid| write_maps(pid, range))
}

/// Says whose users those of a process's new user namespace are.
pub(crate) fn write_maps(pid: i32, range: IdRange) -> io::Result<()> {
    let map = format!("0 {} {}\n", range.first, range.count);
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{file}"), &map)
            .map_err(|err| io::Error::other(format!("{file} {}: {err}", map.trim())))?;
    }
    Ok(())
}

/// Maps are written through `/proc`, which belongs to nobody while its process is not dumpable.
fn dumpable() -> nix::Result<()> {
    nix::sys::prctl::set_dumpable(true)
}

/// Reads the answer of a child that says more than one word.
pub(crate) fn answer(from: &mut File) -> io::Result<()> {
    word(from)
}
