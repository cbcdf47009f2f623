//! The volumes of a pod, on disk and in memory.
//!
//! - In: a pod's folder, its manifest, the config blobs.
//! - Out: a folder or file of the node for each volume; [`resolve_sub_path`] for a path inside one.
//! - Invariants: preparing again changes nothing that is right already, and repairs what a power cut left half done;
//!   secrets are never on a disk; a change of a ConfigMap or Secret is seen by the containers all at once (Kubernetes'
//!   `..data` layout); no path, whatever links a container made, leads out of its volume. Containers must get config and
//!   secret volumes read-only ([`is_read_only`]), as under kubelet: nobody but the agent writes there.

#![forbid(unsafe_code)]

mod cleanup;
mod error;
mod files;
mod host_path;
mod payload;
mod prepare;
mod sub_path;
mod tmpfs;

pub use cleanup::cleanup;
pub use error::VolumeError;
pub use prepare::{is_read_only, prepare};
pub use sub_path::resolve_sub_path;
