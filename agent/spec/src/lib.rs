//! The OCI runtime spec of a container: from its manifest, its image and what the node prepared for it.
//!
//! Namespaces stand without paths and the cgroup without a parent: the runtime puts in those of the pod.

#![forbid(unsafe_code)]

mod build;
pub mod defaults;
mod env;
mod fields;
pub mod node_files;
mod refusal;
mod resolv_conf;
mod resources;
pub mod seccomp;
mod security;
mod services;
mod user;

#[cfg(test)]
mod spec_test;
#[cfg(test)]
pub(crate) mod testing;

pub use build::{
    AppArmor, ContainerContext, DeviceKind, DeviceNode, EtcFiles, ImageConfig, NodeFacts, PodContext,
    VolumeMount, build, stop_signal,
};
pub use env::{SpecError, expand_sub_path, variables};
pub use fields::{Allocatable, downward};
pub use refusal::Refusal;
pub use resolv_conf::{NodeDns, resolv_conf};
pub use resources::{limits, pod_limits};
pub use security::device_node;
pub use services::service_environment;
