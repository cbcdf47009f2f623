//! From a layer's compressed tar, which is hostile, to a folder that overlayfs can stack.

pub(crate) mod decompress;
mod entry;
pub(crate) mod listing;
mod tree;
pub(crate) mod unpack;
