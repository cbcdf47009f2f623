//! What an agent decides, without doing any of it.
//!
//! In: the desired world (from the ledger), what was observed ([`Observed`], fed by [`Fact`]s) and the time.
//! Out: [`Action`]s ([`plan`]), statuses ([`pod_status`]), probes to run ([`due_probes`]).
//!
//! Invariants: no I/O, no clock, no randomness; the same input gives the same output. A plan that was carried out leaves
//! nothing to plan. A pod that cannot start never holds another one up. Time may jump backwards: no wait is ever longer
//! than it was meant to be.

#![forbid(unsafe_code)]

mod action;
mod apply;
mod apply_pod;
mod container_id;
mod desired;
mod event;
mod evict;
mod fact;
#[cfg(test)]
mod fake;
mod observed;
mod phases;
mod plan;
mod probes;
mod record;
mod resize;
mod restart;
mod rollback;

pub use action::Action;
pub use container_id::{ContainerId, ContainerIdError, Definition};
pub use desired::{DesiredPod, DesiredWorld, Instead};
pub use evict::{Level, PodDisk, Pressure, Signal, has_limits, over_limit, victim};
pub use fact::{AdoptedContainer, Fact, HookKind, PodFact, PodStep, StartFailure, StartStep};
pub use observed::{
    Exit, Failure, Hook, Images, Live, LiveState, Observed, ObservedContainer, ObservedPod, Sandbox, Stopping,
};
pub use phases::{observed_statuses, pod_status};
pub use plan::{plan, wake_at};
pub use probes::{ProbeKind, ProbeRun, ProbeState, Probes, due_probes};
pub use record::{ContainerRecord, PodEnd, PodRecord, ResolvedImage};
pub use restart::Backoff;
pub use rollback::{Exhausted, Healthy, OwnerMemory, RollbackMemory, Sight};
