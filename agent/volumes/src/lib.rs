//! The volumes of a pod, on disk and in memory.
//!
//! - In: a pod's folder, its manifest, the config blobs, the pod's fields.
//! - Out: a folder or file of the node for each volume ([`prepare`]); for each mount of a container the path to mount from
//!   ([`mount_source`]).
//! - Invariants: preparing again changes nothing that is right already, and repairs what a power cut left half done;
//!   secrets are never on a disk; a change of a ConfigMap, Secret or field is seen by the containers all at once
//!   (Kubernetes' `..data` layout); no path, whatever links a container makes and when, leads out of its volume.
//!   Containers must get volumes of files read-only ([`is_read_only`]), as under kubelet: nobody but the agent writes there.

#![forbid(unsafe_code)]

mod bind;
mod cleanup;
mod error;
mod files;
mod host_path;
mod mount_info;
mod payload;
mod prepare;
mod sub_path;
mod tmpfs;

pub use bind::{MountRequest, mount_source};
pub use cleanup::cleanup;
pub use error::VolumeError;
pub use prepare::{Sources, is_read_only, prepare};
pub use tmpfs::shared_memory;
