//! A real agent with real containers: from its ledger, without a hub, and with one behind a broker. Needs root, and
//! busybox; the tests with a hub need mosquitto. Where these are missing the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod devices;
mod environment;
mod evict;
mod fixture;
mod isolation;
mod lifecycle;
mod linked;
mod local;
mod offline;
mod probes;
mod protection;
mod registry;
mod resize;
mod rollback;
mod survival;
mod usage;
mod users;
mod volumes;
