//! A terminal of a container: its own end for a command in it, the other end for who asked.
//!
//! A container may have put anything at `/dev/pts`, so what is opened there is looked at, and its other end is asked of the
//! kernel and not looked up by a path.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::{major, minor};
use nix::sys::statfs::fstatfs;
use nix::unistd::{Uid, fchown};
use serde::{Deserialize, Serialize};

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

const MULTIPLEXER: &str = "/dev/pts/ptmx";
const DEVPTS_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x1cd1);

/// Opens a terminal of the container that this process is in, makes it the terminal of this session, and sends the other
/// end through `console`.
pub(crate) fn open(console: &File, size: Size, uid: u32) -> Result<File, String> {
    let errno = |what: &'static str| move |errno: Errno| format!("terminal: {what}: {}", errno.desc());
    let flags = libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let master = OpenOptions::new().read(true).write(true).custom_flags(flags).open(MULTIPLEXER);
    let master = master.map_err(|err| format!("terminal: {MULTIPLEXER}: {err}"))?;
    let number = master.metadata().map_err(|err| format!("terminal: {err}"))?.rdev();
    let file_system = fstatfs(&master).map_err(errno("fstatfs"))?.filesystem_type();
    if (major(number), minor(number)) != (5, 2) || file_system != DEVPTS_MAGIC {
        return Err(format!("terminal: {MULTIPLEXER} is not the multiplexer of terminals"));
    }
    let unlocked: libc::c_int = 0;
    // SAFETY: the call reads one int, which outlives it.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })
        .map_err(errno("unlock"))?;
    let open_flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the third argument is a plain number.
    let peer = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, open_flags) })
        .map_err(errno("open"))?;
    // SAFETY: the kernel just made this descriptor for us.
    let peer = File::from(unsafe { OwnedFd::from_raw_fd(peer) });
    let window = libc::winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call reads one winsize, which outlives it.
    Errno::result(unsafe { libc::ioctl(peer.as_raw_fd(), libc::TIOCSWINSZ, &raw const window) })
        .map_err(errno("size"))?;
    fchown(&peer, Some(Uid::from_raw(uid)), None).map_err(errno("owner"))?;
    // SAFETY: the third argument is a plain number.
    Errno::result(unsafe { libc::ioctl(peer.as_raw_fd(), libc::TIOCSCTTY, 0) }).map_err(errno("session"))?;
    let descriptors = [master.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(console.as_raw_fd(), &[IoSlice::new(b"t")], &rights, MsgFlags::MSG_NOSIGNAL, None)
        .map_err(errno("send"))?;
    Ok(peer)
}
