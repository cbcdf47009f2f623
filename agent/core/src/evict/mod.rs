//! Making room where the node runs short: when, and which pod goes.
//!
//! In: what is free ([`Level`]s), what pods use, what they asked for. Out: the node's conditions ([`Pressure`]), the pod to
//! end ([`victim`]), and pods that took more disk than they may ([`over_limit`]). The order and the words are kubelet's.

mod pressure;
mod storage;
mod victim;

pub use pressure::{Level, Pressure, Signal};
pub use storage::{PodDisk, has_limits, over_limit};
pub use victim::victim;
