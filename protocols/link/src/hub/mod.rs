//! The hub's side.

mod fact;
mod node;
mod sessions;

pub use fact::{Counters, DownReason, Fact, HubConfig, HubOutput, topic_kind};
pub use sessions::HubSessions;
