//! The scheduler: which node each pod runs on.
//!
//! In: pods without a node, nodes, and what is bound to them. Out: bindings, or why there is none, in the words that
//! users know. Invariants: a node's allocatable is never exceeded by what is bound here; a pod that is bound is never
//! moved; only nodes that are ready, schedulable and wanted by the pod get it.

mod fit;
mod request;
mod run;
mod score;

pub(crate) use run::run;
pub use run::schedule;
