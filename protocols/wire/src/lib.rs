//! The device plane's words, version 1: topics, messages, and how they become bytes. No I/O.
//!
//! A payload is JSON and bounded ([`MAX_MESSAGE_BYTES`]); what does not parse is counted and dropped by the reader.

#![forbid(unsafe_code)]

mod beat;
mod message;
mod stream;
mod topic;

pub use beat::{Beat, MAX_BEAT_BYTES};
pub use message::{
    BlobReply, CommandPhase, CommandRequest, CommandState, Get, HubState, MAX_BLOB_BYTES, MAX_MESSAGE_BYTES,
    NodeState, WireError, decode, encode,
};
pub use stream::{Down, LogRequest, MAX_DATA_BYTES, Open, Up, WINDOW_BYTES};
pub use topic::{CommandId, StreamId, Topic, TopicError};
