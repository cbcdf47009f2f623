//! The hub's core and the agents' core in one process and in virtual time, over a network that loses, doubles, delays and
//! reorders messages, while processes die, machines lose their power, and a forger sends false documents.
//!
//! In: a seed; everything follows from it. Out: the first invariant that does not hold, with the line that replays the
//! run. A run breaks things for a while, then heals, and must come to rest.
//!
//! Invariants, one a file under [`invariant`]: a pod's container runs once; agents act on authentic documents alone, each
//! newer than the last; what should run keeps running, whatever breaks around it; what is thought current is current; at
//! rest, wanted, told and true state are the same. Two runs of a seed are the same, line by line.

#![forbid(unsafe_code)]

mod agent;
mod event;
mod executor;
mod hub;
pub mod invariant;
mod ledger;
mod machine;
mod network;
mod node;
mod operator;
mod params;
mod queue;
mod random;
mod replay;
mod shared;
mod sim;
mod store;
mod trace;

pub use params::{Params, Scenario};
pub use replay::Plan;
pub use shared::Violation;
pub use sim::{Outcome, run};
pub use trace::Keep;
