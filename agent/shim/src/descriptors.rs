//! Descriptors that go over a Unix socket beside bytes.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// A command has standard input, output and error, or one socket for its terminal.
pub const MAX_DESCRIPTORS: usize = 4;

/// Sends bytes, and these descriptors with the first of them. Gives how many bytes went out.
///
/// # Errors
/// The socket is closed, or would have to be waited for.
pub fn send(socket: &impl AsRawFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let rights: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
    Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Receives bytes, and the descriptors that came with them: at most [`MAX_DESCRIPTORS`], the kernel closes further ones.
///
/// # Errors
/// The socket is broken, or has nothing now.
pub fn receive(socket: &impl AsRawFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut slices = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut descriptors = Vec::new();
    // More than there is room for: what came is ours to close all the same.
    for part in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel just made these descriptors for this process, and nobody else knows of them.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pipe_goes_over() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut read, write) = crate::kernel::namespaces::waiting_pipe().unwrap();
        assert_eq!(send(&here, b"hello", &[write.as_fd()]).unwrap(), 5);
        drop(write);
        let mut bytes = [0; 16];
        let (count, mut descriptors) = receive(&there, &mut bytes).unwrap();
        assert_eq!((count, descriptors.len()), (5, 1));
        File::from(descriptors.remove(0)).write_all(b"well").unwrap();
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "well");
        drop(here);
        assert_eq!(receive(&there, &mut bytes).unwrap().0, 0);
    }
}
