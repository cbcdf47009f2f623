//! `gannet rollout`: how a Deployment gets from one template to the next, and back.

mod command;
mod progress;
mod revision;

pub(crate) use command::rollout;
pub use command::{RolloutCommand, wait_available};
pub(crate) use revision::selector;
