//! The hub's decisions, as pure functions of the world and the time.
//!
//! In: the [`World`] (every stored object, decoded), the time, a seeded source of names. Out: [`Change`]s to propose to
//! the store, or documents for nodes. No I/O, clock, randomness or hash-map order: the same input gives the same output,
//! so every decision can be replayed.
//!
//! - `admit`: defaults and validation of what a client writes
//! - `control`: controllers (Deployment, ReplicaSet, Endpoints, node life, garbage collection, namespaces)
//! - `schedule`: which node a pod runs on
//! - `compile`: from objects to a node's manifests and desired document

#![forbid(unsafe_code)]

pub mod admit;
mod change;
pub mod compile;
pub mod control;
mod kind;
pub mod schedule;
mod world;

pub use change::{Change, Precondition};
pub use kind::{KINDS, Kind, MADE_KINDS, Scope};
pub use world::{ObjectKey, Objects, World, WorldError};
