//! The controllers: pure functions from the [`World`](crate::World) and the time to wanted [`Change`](crate::Change)s.
//!
//! - [`turn`] runs every controller once, in a fixed order, over one working copy, so that most causes reach their whole
//!   effect in one turn (a new Deployment: its ReplicaSet, its pods and their nodes) and one object is written once.
//! - What nodes report is not a matter of turns: [`node_registered`], [`node_up`], [`node_down`], [`apply_report`],
//!   [`pod_removed`] and [`node_event`] are called when a node speaks, or falls silent.
//!
//! Invariants: a turn with nothing to do returns nothing; the same input gives the same output; a turn never counts on
//! a change before the world shows it. The world that is handed in must hold everything that the caller has committed
//! before: controllers keep no expectations of their own, and would make what they do not see a second time.

mod deployment;
mod draft;
mod garbage;
mod index;
mod meta;
mod names;
mod namespace;
mod node;
mod pod_gc;
pub(crate) mod pod_template;
mod replica_set;
pub(crate) mod selector;
mod service;
mod service_account;
mod turn;
mod victims;

#[cfg(test)]
pub(crate) mod test_world;

pub(crate) use draft::Draft;
pub(crate) use meta::{condition, is_finished, is_terminating, set_condition};
pub use names::{Names, SeededNames};
pub use node::{apply_report, node_down, node_event, node_registered, node_up, pod_removed, pods_gone};
pub(crate) use node::{are_gates_open, readiness};
pub use turn::{Context, Turn, turn};
