//! Logs of containers: read from the shim's files, also while these grow and rotate.

mod reader;
mod task;

pub(crate) use task::{Source, Statuses, pump};
