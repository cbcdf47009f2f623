//! Raft between hubs: TCP with mutual TLS, length-prefixed frames, the same for one hub and for many.

mod catch_up;
mod client;
mod frame;
mod server;

pub(crate) use catch_up::CatchUp;
pub(crate) use client::Peers;
pub(crate) use server::Server;
