//! A process, named so that it is never mistaken for another one that got its pid later.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use serde::{Deserialize, Serialize};

/// Pid and start time: together never used again until the next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// As the host counts.
    pub pid: i32,
    /// Ticks since boot.
    pub start_ticks: u64,
}

/// The kernel's `PF_EXITING`: it will not run any more, whatever it still waits for.
const EXITING: u64 = 4;

struct Stat {
    state: char,
    flags: u64,
    start_ticks: u64,
}

fn stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name stands in brackets and may hold anything, brackets too.
    let fields: Vec<&str> =
        text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    let state = fields.first().and_then(|f| f.chars().next());
    let start_ticks = fields.get(19).and_then(|f| f.parse().ok());
    let flags = fields.get(6).and_then(|f| f.parse().ok()).unwrap_or(0);
    state
        .zip(start_ticks)
        .map(|(state, start_ticks)| Stat { state, flags, start_ticks })
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not understood")))
}

impl ProcessId {
    /// The process that has this pid now.
    ///
    /// # Errors
    /// There is none.
    pub fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, start_ticks: stat(pid)?.start_ticks })
    }

    /// It runs, and has not exited without anybody having looked.
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_ok_and(|stat| {
            let ended = matches!(stat.state, 'Z' | 'X') || stat.flags & EXITING != 0;
            stat.start_ticks == self.start_ticks && !ended
        })
    }

    /// It still runs the program of the process that asks: a container that was never told to start.
    pub(crate) fn runs_our_program(self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let program = |of: &str| fs::metadata(format!("/proc/{of}/exe")).map(|data| (data.dev(), data.ino()));
        let both = program(&self.pid.to_string()).ok().zip(program("self").ok());
        both.is_some_and(|(theirs, ours)| theirs == ours) && self.is_alive()
    }

    /// A descriptor that stays this process, and becomes readable when it exits.
    ///
    /// # Errors
    /// It is gone (`ESRCH`), whoever has its pid now.
    pub fn open(self) -> io::Result<OwnedFd> {
        // SAFETY: pidfd_open takes two integers and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        let fd = i32::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // The descriptor is fixed to one process; now see that it is the right one.
        if stat(self.pid)?.start_ticks == self.start_ticks {
            return Ok(fd);
        }
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }

    /// Sends a signal; a process that is gone has got every signal that it will ever need.
    ///
    /// # Errors
    /// The signal is none, or not allowed.
    pub fn signal(self, signal: i32) -> io::Result<()> {
        let fd = match self.open() {
            Ok(fd) => fd,
            Err(err) if err.raw_os_error() == Some(libc::ESRCH) || err.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(err) => return Err(err),
        };
        // SAFETY: the third argument may be null; the descriptor lives until after the call.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, std::ptr::null::<()>(), 0)
        };
        if sent == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            err if err.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            err => Err(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_with_the_same_pid_is_left_alone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let right = ProcessId::of(pid).unwrap();
        let wrong = ProcessId { start_ticks: right.start_ticks + 1, ..right };
        assert!(right.is_alive() && !wrong.is_alive());
        assert!(wrong.open().is_err());
        wrong.signal(libc::SIGKILL).unwrap();
        assert!(right.is_alive(), "a stale record must not kill");
        right.signal(libc::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(!right.is_alive());
        right.signal(libc::SIGKILL).unwrap();
    }
}
