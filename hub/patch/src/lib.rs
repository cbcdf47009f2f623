//! The patch types of the Kubernetes API, as pure functions of JSON.
//!
//! In: the object as it is, the patch, and for strategic merge patches the [`gannet_hub_schema::Shape`] of the kind,
//! which says how each list is merged. Out: the object as it should be, or why the patch does not fit. The result is
//! neither defaulted nor checked: that is admission's job.

#![forbid(unsafe_code)]

mod json;
mod merge;
mod order;
mod strategic;

pub use json::{JsonPatchError, MAX_OPERATIONS, json_patch};
pub use merge::merge_patch;
pub use strategic::{StrategicError, strategic_merge_patch};
