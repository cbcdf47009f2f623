//! A fleet in a sandbox: the built programs, real containers, real clients.

#![forbid(unsafe_code)]

mod busybox;
mod fleet;

pub use fleet::{Fleet, PATIENCE};
