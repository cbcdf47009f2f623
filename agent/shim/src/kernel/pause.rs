//! The first process of a process namespace that the containers of a pod share.
//!
//! It reaps what loses its parent, and holds the namespace: when it ends, the kernel ends all in there. So it outlives the
//! shim, sees nothing (an empty root, no descriptors), and cannot be looked into by the containers that see it. Signals from
//! inside the namespace do not reach it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, chdir, fork, pivot_root, setsid};

use crate::fork;
use crate::kernel::namespaces::{answer, enter_users, forget, is_mounted, say, waiting_pipe};
use crate::layout::PodLayout;
use crate::process::ProcessId;
use crate::record::{read_json, remove_file, write_json};
use crate::title;

/// Ensures that the pod has a process namespace that lives.
pub(crate) fn ensure(layout: &PodLayout, users: Option<&Path>) -> io::Result<()> {
    let path = layout.namespace("pid");
    let known: Option<ProcessId> = read_json(&layout.pause()).unwrap_or_default();
    if is_mounted(&path) && known.is_some_and(ProcessId::is_alive) {
        return Ok(());
    }
    remove(layout)?;
    File::create(&path)?;
    let users = users.map(File::open).transpose()?;
    let (mut made, to_parent) = waiting_pipe()?;
    let (from_parent, mut go) = waiting_pipe()?;
    let keep = [&to_parent, &from_parent].into_iter().chain(&users).map(AsRawFd::as_raw_fd).collect();
    let between = fork::child(keep, || begin(users.as_ref(), layout, &to_parent, from_parent))?;
    drop(to_parent);
    let said = answer(&mut made);
    let mut bytes = [0; 4];
    let first = said.and_then(|()| made.read_exact(&mut bytes)).map(|()| i32::from_ne_bytes(bytes));
    waitpid(Pid::from_raw(between), None)?;
    let hold = |pid: i32| {
        write_json(&layout.pause(), &ProcessId::of(pid)?)?;
        let source = format!("/proc/{pid}/ns/pid");
        let none = None::<&str>;
        mount(Some(source.as_str()), &path, none, MsFlags::MS_BIND, none)?;
        // Only now it stays: one that nobody remembers would stay for ever.
        go.write_all(b"1")
    };
    first
        .and_then(hold)
        .map_err(|err| io::Error::other(format!("cannot make the pod's process namespace: {err}")))
}

fn begin(users: Option<&File>, layout: &PodLayout, to_parent: &File, from_parent: File) -> i32 {
    let _ = nix::sys::prctl::set_name(c"pause");
    title::set("/pause");
    // While this process still is the node's root: a pod's may not pass through the folders.
    let entered = empty_root(&layout.dir().join("ns"))
        .and_then(|()| users.map_or(Ok(()), enter_users))
        .and_then(|()| unshare(CloneFlags::CLONE_NEWPID));
    if entered.is_err() {
        say(to_parent, entered);
        return 1;
    }
    // SAFETY: this child has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => {
            say(to_parent, Ok(()));
            let mut to_parent = to_parent;
            i32::from(to_parent.write_all(&child.as_raw().to_ne_bytes()).is_err())
        }
        Ok(ForkResult::Child) => {
            let keep = vec![from_parent.as_raw_fd()];
            fork::exit(keep, || pause(from_parent))
        }
        Err(errno) => {
            say(to_parent, Err(errno));
            1
        }
    }
}

fn pause(mut from_parent: File) -> i32 {
    let _ = setsid();
    let hidden = nix::sys::prctl::set_dumpable(false);
    // Ended, since its parent died before it had made a note of this process.
    if hidden.is_err() || from_parent.read(&mut [0]).ok() != Some(1) {
        return 1;
    }
    fork::close(&from_parent);
    // SAFETY: ignoring runs no code of ours; children then need not be waited for.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) };
    loop {
        nix::unistd::pause();
    }
}

/// Whoever gets at `/proc/1/root` sees nothing.
fn empty_root(at: &Path) -> nix::Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some("size=4k,nr_inodes=2,mode=555"))?;
    chdir(at)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    mount(none, "/", none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | flags, none)?;
    chdir("/")
}

/// Ends the namespace, and with it all that runs in it. Fine where there is none.
pub(crate) fn remove(layout: &PodLayout) -> io::Result<()> {
    if let Some(process) = read_json::<ProcessId>(&layout.pause()).unwrap_or_default() {
        process.signal(Signal::SIGKILL as i32)?;
    }
    forget(&layout.namespace("pid"))?;
    remove_file(&layout.pause())
}
