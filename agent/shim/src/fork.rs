//! Forking in a process of one thread: the child starts as clean as if it had been executed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, fork, pipe2};
use serde::de::DeserializeOwned;

/// The exit code of a child that panicked.
const PANICKED: i32 = 125;

/// A pipe, closed by executing a program; the reading end never blocks.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read.into(), write.into()))
}

/// Forks a child that runs `body` and exits with its code. It has the default signals, standard descriptors and `keep`,
/// nothing else: a container in the making holds no connection and no log of another one. It dies with this process.
pub(crate) fn child(keep: Vec<RawFd>, body: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: this process has one thread, so the child may do all that its parent might.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => {
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            exit(keep, body)
        }
    }
}

/// Runs `body` in this forked process, then ends it, without unwinding into what its parent was doing.
pub(crate) fn exit(keep: Vec<RawFd>, body: impl FnOnce() -> i32) -> ! {
    let code = catch_unwind(AssertUnwindSafe(|| {
        default_signals();
        close_all_but(keep);
        body()
    }));
    // SAFETY: _exit ends the process; nothing of the parent's state is flushed or dropped twice.
    unsafe { libc::_exit(code.unwrap_or(PANICKED)) }
}

/// What the program will inherit: Rust ignores SIGPIPE, a shim blocks SIGCHLD, and who started the agent may ignore others.
fn default_signals() {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    for number in Signal::iterator() {
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { signal(number, SigHandler::SigDfl) };
    }
}

/// Closes every descriptor but the standard ones and these.
pub(crate) fn close_all_but(mut keep: Vec<RawFd>) {
    keep.sort_unstable();
    keep.push(RawFd::MAX);
    let mut first = 3;
    for kept in keep.into_iter().filter(|&fd| fd >= 3) {
        if first < kept && !close_range(first, kept - 1) {
            close_each(first, kept - 1);
        }
        first = kept.saturating_add(1);
    }
}

fn close_range(first: RawFd, last: RawFd) -> bool {
    // SAFETY: what owns these descriptors is never used or dropped in this process, which ends with _exit.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 }
}

/// For kernels before 5.9.
fn close_each(first: RawFd, last: RawFd) {
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .map(|dir| dir.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: as in close_range.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
}

/// Reads what is there without waiting, up to a limit.
pub(crate) fn read_available(from: &mut File, limit: usize) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while bytes.len() < limit {
        match from.read(&mut part) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes what a child has to report, and gives its exit code.
pub(crate) fn report<T: serde::Serialize>(mut to: &File, outcome: &Result<T, String>) -> i32 {
    let written = serde_json::to_vec(outcome).map_err(io::Error::other).and_then(|text| to.write_all(&text));
    i32::from(outcome.is_err() || written.is_err())
}

/// Reads what a child reported, after it ended.
pub(crate) fn read_report<T: DeserializeOwned>(from: &mut File) -> Result<T, String> {
    let text = read_available(from, 64 * 1024);
    let lost = |_| Err("the process that called libcontainer died without a word".to_owned());
    serde_json::from_str::<Result<T, String>>(&text).unwrap_or_else(lost)
}

/// Closes a descriptor whose owner belongs to the parent of this process, and is never dropped here.
pub(crate) fn close(file: &File) {
    close_range(file.as_raw_fd(), file.as_raw_fd());
}
