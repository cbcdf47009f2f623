//! A real agent with real containers: from its ledger, without a hub, and with one behind a broker. Needs root, and
//! busybox; the tests with a hub need mosquitto. Where these are missing the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod fixture;
mod linked;
mod offline;
mod registry;
