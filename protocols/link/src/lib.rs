//! What hub and node say to each other, as state machines without I/O, and the [`Link`] that shells put under them.
//!
//! Inputs are messages, ticks with the time, and what was observed; outputs are lists of what the shell is to do, in
//! order. Invariants: a node accepts only documents that the pinned key signed and that are newer than what it holds, and
//! only once it holds every blob that they name; whatever is lost, doubled or reordered, both sides agree again once
//! messages pass, because reports are compared by hash and generation at every beat; memory is bounded on both sides.
//!
//! Time must not run backwards: a shell gives the wall clock at its start plus what a monotonic clock measured since.

#![forbid(unsafe_code)]

mod agent;
mod hub;
mod memory;
mod message;
mod stream;

#[cfg(test)]
mod converge_test;
#[cfg(test)]
mod sample;

pub use agent::{AgentConfig, AgentOutput, AgentSession, Held, MAX_OUTSTANDING, MAX_STREAMS};
pub use hub::{Counters, DownReason, Fact, HubConfig, HubOutput, HubSessions, topic_kind};
pub use memory::{ClientId, MemoryBroker, MemoryLink, filter_matches};
pub use message::{Link, LinkError, LinkEvent, Message};
pub use stream::{Incoming, Outgoing, StreamFault};
