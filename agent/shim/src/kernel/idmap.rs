//! Mounts whose files belong to a pod's users: what is root's on the disk is the pod's root's through such a mount, and what
//! the pod's root makes there is root's on the disk.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::kernel::namespaces::{IdRange, waiting_pipe, write_maps};

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// A copy of what is mounted at a path, and of all below it, that is not attached to anything.
///
/// # Errors
/// There is nothing, or this process may not mount.
pub fn copy(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: the path is a C string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// As [`copy`], with the owners mapped into a user namespace.
///
/// # Errors
/// `InvalidInput` where the kernel cannot map a file system that is mounted there.
pub fn mapped(path: &Path, users: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let tree = copy(path)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(users.as_raw_fd()).map_err(io::Error::other)?,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    let size = size_of::<libc::mount_attr>();
    // SAFETY: path and attributes outlive the call, which reads `size` bytes.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size,
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(tree) }
}

/// Attaches what [`copy`] or [`mapped`] gave.
///
/// # Errors
/// There is no such place, or this process may not mount.
pub(crate) fn attach(tree: &OwnedFd, place: &Path) -> io::Result<()> {
    let place = c_path(place)?;
    // SAFETY: both paths are C strings that outlive the call.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            place.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    if moved < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A user namespace that nobody is in, to try things with. May be called in a process of several threads.
///
/// # Errors
/// The kernel gives none.
pub fn trial_users(range: IdRange) -> io::Result<OwnedFd> {
    let (mut made, to_parent) = waiting_pipe()?;
    let (from_parent, go) = waiting_pipe()?;
    let (write, read) = (to_parent.as_raw_fd(), from_parent.as_raw_fd());
    // SAFETY: the child makes plain system calls only, which may be done whatever other threads held at the fork.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    if child == 0 {
        // SAFETY: as above; the buffers are this frame's own.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let failed = libc::unshare(libc::CLONE_NEWUSER) != 0;
            let mut word = u8::from(failed);
            libc::write(write, (&raw const word).cast(), 1);
            // Ended by the parent.
            while libc::read(read, (&raw mut word).cast(), 1) < 0 {}
            libc::_exit(0);
        }
    }
    drop((to_parent, from_parent));
    let outcome = open_trial(&mut made, child, range);
    drop(go);
    let pid = Pid::from_raw(child);
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
    outcome
}

fn open_trial(made: &mut File, child: i32, range: IdRange) -> io::Result<OwnedFd> {
    let mut word = [0];
    made.read_exact(&mut word)?;
    if word != [0] {
        return Err(io::Error::other("the kernel makes no user namespace (see user.max_user_namespaces)"));
    }
    write_maps(child, range)?;
    Ok(File::open(format!("/proc/{child}/ns/user"))?.into())
}
