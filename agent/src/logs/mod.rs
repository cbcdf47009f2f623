//! Logs of containers: read from the shim's files, also while these grow and rotate, and kept below a bound for all.

mod cap;
mod reader;
mod task;

pub(crate) use cap::keep_below;
pub(crate) use reader::{LogReader, Options, Step};
pub(crate) use task::{Chunk, Source, Statuses, pump};
