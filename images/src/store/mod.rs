//! Images on disk: blobs, layers, names; durable, shared, collected.

pub mod atomic;
pub(crate) mod gc;
pub(crate) mod image_store;
pub(crate) mod inflight;
pub(crate) mod records;
mod verify;
