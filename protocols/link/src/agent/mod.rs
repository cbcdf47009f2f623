//! The node's side.

mod commands;
mod fetch;
mod output;
mod receive;
mod reports;
mod session;

pub use fetch::MAX_OUTSTANDING;
pub use output::{AgentConfig, AgentOutput, Held};
pub use session::{AgentSession, MAX_STREAMS};
