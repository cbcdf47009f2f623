//! The commands for people who are on the gateway itself. They work with the hub away, and mostly with the agent down.

mod client;
mod doctor;
mod logs;
mod ps;

pub(crate) use doctor::doctor;
pub(crate) use logs::logs;
pub(crate) use ps::ps;
