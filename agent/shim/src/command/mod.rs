//! What is done to a running container from outside: commands in it, devices that come and go.

pub(crate) mod exec;
mod hotplug;
pub(crate) mod join;
pub(crate) mod terminal;
