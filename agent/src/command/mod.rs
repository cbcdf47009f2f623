//! The commands for people who are on the gateway itself. They work with the hub away, and mostly with the agent down.

mod client;
mod describe;
mod describe_container;
mod doctor;
mod exec;
mod logs;
mod ps;
mod stats;
mod table;

pub(crate) use describe::describe;
pub(crate) use doctor::doctor;
pub(crate) use exec::exec;
pub(crate) use logs::logs;
pub(crate) use ps::ps;
pub(crate) use stats::stats;
