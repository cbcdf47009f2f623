//! What the kernel is asked for beside libcontainer: cgroups and their limits, devices, filters, namespaces of pods.

pub(crate) mod cgroup;
pub(crate) mod devices;
pub mod idmap;
pub(crate) mod limits;
pub(crate) mod namespaces;
pub(crate) mod pause;
pub(crate) mod seccomp;
