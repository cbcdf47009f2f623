//! Device classes of a gateway: which device nodes there are, and who has which.
//!
//! - In: classes from the configuration ([`DeviceClass`]), what lies in `/dev` and `/sys`, requests of containers.
//! - Out: how many units of each class are there ([`Devices::counts`]), the device nodes that a container gets
//!   ([`Devices::allocate`]), what changed since the last look ([`Devices::rescan`]).
//! - Invariants: a unit that is not shared belongs to one pod at a time, also while it is unplugged, and whatever classes
//!   name it. The same devices and requests give the same grants. Grants are on disk before a container gets anything,
//!   and stay until its pod is removed. What is no device node is never given away.
//!
//! Scans and grants wait for the disk: not for a task that must not block. The uevent socket does not block.

#![forbid(unsafe_code)]

mod allocate;
mod class;
mod devices;
mod pattern;
mod scan;
mod store;
mod uevent;
mod usb;

pub use allocate::{Grant, Request, Shortage};
pub use class::{ClassError, DeviceClass, PREFIX, UsbId};
pub use devices::{AllocateError, Change, ChangeKind, Devices};
pub use scan::{Roots, all_nodes};
pub use store::StoreError;
pub use uevent::{UEVENT_BYTES, is_of_device, uevents};
