//! USB devices by make, as `/sys/bus/usb/devices` tells them.

use std::fs;
use std::path::Path;

use crate::class::UsbId;
use crate::scan::{Roots, Unit, node};

/// The devices of this make that are there, in the order of their sockets.
pub(crate) fn units(id: UsbId, roots: &Roots) -> Vec<Unit> {
    let entries = fs::read_dir(roots.sys.join("bus/usb/devices")).into_iter().flatten().flatten();
    let mut sockets: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    sockets.sort();
    sockets.iter().filter_map(|socket| unit(id, socket, roots)).collect()
}

fn unit(id: UsbId, socket: &str, roots: &Roots) -> Option<Unit> {
    let dir = roots.sys.join("bus/usb/devices").join(socket);
    let read = |name: &str| Some(fs::read_to_string(dir.join(name)).ok()?.trim().to_owned());
    let found = UsbId { vendor: hex(&read("idVendor")?)?, product: hex(&read("idProduct")?)? };
    if found != id {
        return None;
    }
    let (bus, device): (u32, u32) = (read("busnum")?.parse().ok()?, read("devnum")?.parse().ok()?);
    let node = node(&Path::new(&roots.dev).join(format!("bus/usb/{bus:03}/{device:03}")))?;
    let place = format!("usb {id} at {socket}");
    let serial = read("serial").filter(|s| !s.is_empty()).map(|s| format!("usb {id} serial {s}"));
    match serial {
        Some(serial) => Some(Unit { id: serial, aliases: vec![place], nodes: vec![node] }),
        None => Some(Unit { id: place, aliases: Vec::new(), nodes: vec![node] }),
    }
}

fn hex(text: &str) -> Option<u16> {
    u16::from_str_radix(text, 16).ok()
}
