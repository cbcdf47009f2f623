//! The OCI runtime spec of a container: from its manifest, its image and what the node prepared for it.
//!
//! Namespaces stand without paths and the cgroup without a parent: the runtime puts in those of the pod.

#![forbid(unsafe_code)]

mod build;
pub mod defaults;
mod env;
pub mod node_files;
pub mod seccomp;
mod security;
mod user;

#[cfg(test)]
mod spec_test;
#[cfg(test)]
pub(crate) mod testing;

pub use build::{ContainerContext, EtcFiles, ImageConfig, PodContext, VolumeMount, build, stop_signal};
pub use env::SpecError;
