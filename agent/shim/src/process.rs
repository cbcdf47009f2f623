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

struct Stat {
    state: char,
    start_ticks: u64,
}

fn stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name stands in brackets and may hold anything, brackets too.
    let fields: Vec<&str> =
        text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    let state = fields.first().and_then(|f| f.chars().next());
    let start_ticks = fields.get(19).and_then(|f| f.parse().ok());
    state
        .zip(start_ticks)
        .map(|(state, start_ticks)| Stat { state, start_ticks })
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
        stat(self.pid)
            .is_ok_and(|stat| stat.start_ticks == self.start_ticks && !matches!(stat.state, 'Z' | 'X'))
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
