//! What pods and the node use, read from cgroups, `/proc` and file systems.
//!
//! - In: which pods there are, with their cgroups and folders ([`Target`]), and a time.
//! - Out: [`gannet_protocols_model::NodeUsage`]; and, cheap enough to be asked often, what is free of memory, disk and
//!   process ids.
//! - Invariants: nothing is read unless somebody asks, and nothing runs in the background. A cgroup, process or folder
//!   that goes away while it is read counts as nothing. A folder's content is hostile: links are not followed, other file
//!   systems are not entered, and work and memory are bounded.
//!
//! Every call waits for the kernel and some for the disk: not for a task that must not block.

#![forbid(unsafe_code)]

mod cgroup;
mod folder;
mod hierarchies;
mod machine;
mod process;
mod sampler;

pub use cgroup::CgroupUsage;
pub use folder::{FOLDER_ENTRIES, FolderUsage, folder_usage};
pub use hierarchies::{Hierarchies, Version};
pub use machine::{DiskSpace, Memory, Pids, disk_space, memory, memory_available, pids};
pub use process::{ProcessUsage, process_usage, shims};
pub use sampler::{ContainerTarget, Sampler, Target};
