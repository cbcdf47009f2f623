//! The kernel's and udev's news of devices. What they say is not believed, only that something may have changed: then all
//! is looked at anew.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket};

/// Messages of the kernel, and those of udev once it has made its links.
const GROUPS: u32 = 1 | 2;

/// As much as the kernel puts into one message.
pub const UEVENT_BYTES: usize = 8 << 10;

/// A datagram socket that hears when devices come and go; it does not block. Where messages were lost, receiving fails with
/// `ENOBUFS`: anything may have happened then.
///
/// # Errors
/// The kernel gives no such socket.
pub fn uevents() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkKObjectUEvent;
    let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    Ok(socket)
}

/// Whether a message is about something with a node in `/dev`. There are many others: interfaces of pods, for one.
pub fn is_of_device(message: &[u8]) -> bool {
    message.split(|b| *b == 0).any(|field| field.starts_with(b"DEVNAME="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_messages() {
        let usb = b"add@/devices/pci0000:00/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0\0ACTION=add\0\
            DEVPATH=/devices/x\0SUBSYSTEM=tty\0MAJOR=188\0MINOR=0\0DEVNAME=ttyUSB0\0SEQNUM=4711\0";
        let veth =
            b"add@/devices/virtual/net/veth0\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=veth0\0SEQNUM=4712\0";
        let udev = b"libudev\0\xfe\xed\xca\xfe\0\0\0ACTION=add\0DEVNAME=/dev/ttyUSB0\0";
        assert!(is_of_device(usb) && is_of_device(udev));
        assert!(!is_of_device(veth) && !is_of_device(b""));
    }

    /// The kernel tells again what root asks it to.
    #[test]
    fn the_kernel_tells() {
        let uevents = uevents();
        let asked = std::fs::write("/sys/class/mem/null/uevent", "change");
        let (Ok(socket), Ok(())) = (uevents, asked) else { return };
        let socket = std::os::unix::net::UnixDatagram::from(socket);
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut message = vec![0; UEVENT_BYTES];
        // Others' news may come first.
        loop {
            let length = socket.recv(&mut message).unwrap();
            if is_of_device(&message[..length]) {
                return;
            }
        }
    }
}
