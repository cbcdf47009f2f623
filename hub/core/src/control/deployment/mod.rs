//! Deployment: ReplicaSets, one a template, and the way from the old ones to the new one.

mod claim;
mod conditions;
mod revision;
mod rolled_back;
mod rollout;
mod scale;
mod status;
mod sync;
mod template;
mod write;

pub(crate) use claim::claim;
pub(crate) use sync::sync;
