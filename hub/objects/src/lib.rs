//! The stored objects and the one way to change them, for clients of the API and for the hub's own controllers.
//!
//! In: objects to create, changes of one object, wishes to delete one, and [`gannet_hub_core::Change`]s. Out: the object
//! as stored, or a [`Status`] in Kubernetes' words. HTTP is not known here, and storage only as the trait [`Storage`].
//!
//! Invariants: every write is a compare-and-set of one object; every write by a client passes admission; a uid and a
//! creation time, once stamped, never change; an object with finalizers is never removed.

#![forbid(unsafe_code)]

mod admission;
mod change;
mod create;
mod delete;
mod event;
mod memory;
pub mod meta;
mod modify;
mod objects;
mod start;
mod status;
mod storage;
mod store;

pub use change::Applied;
pub use delete::{DeleteOptions, Deleted, Propagation};
pub use event::EVENT_LIFE;
pub use memory::MemoryStorage;
pub use modify::Part;
pub use objects::{Clock, Objects, Ports, Random, WriteMode, Written};
pub use status::{Cause, Details, Status};
pub use storage::{
    Committed, Compacted, Expect, Happened, Heard, Listening, Listing, Storage, StorageError, Stored, Write,
};
pub use store::Replicated;

#[cfg(test)]
#[path = "objects_test.rs"]
mod tests;
