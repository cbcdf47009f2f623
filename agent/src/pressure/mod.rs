//! Node pressure: looks at what is free, tells the node's conditions, and ends pods where it must.
//!
//! In: memory, disk, inodes and process ids of the machine, what pods use. Out: conditions, and facts that pods are ended.
//! Looking costs a few system calls; pods are measured only where something is short, and disks of pods with limits.

mod levels;
mod task;

pub(crate) use levels::limit_pods;
pub(crate) use task::PressureTask;
