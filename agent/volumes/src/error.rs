//! Why a volume cannot be made, in kubelet's words.

use std::io;
use std::path::{Path, PathBuf};

use gannet_protocols_model::Digest;

/// Why a volume cannot be made or removed. [`VolumeError::message`] has all of it in one line.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The name would lead out of the pod's folder.
    #[error("invalid volume name {name:?}: must be a lowercase RFC 1123 label")]
    Name {
        /// The name.
        name: String,
    },
    /// The ConfigMap or Secret does not exist, or a key of it.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {message}")]
    Missing {
        /// The volume.
        volume: String,
        /// As the hub worded it: `configmap "x" not found`.
        message: String,
    },
    /// The data is not on the node.
    #[error("MountVolume.SetUp failed for volume {volume:?} : data {blob} is not on this node")]
    Blob {
        /// The volume.
        volume: String,
        /// The blob.
        blob: Digest,
    },
    /// The data is damaged, or names files that cannot be.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {reason}")]
    Data {
        /// The volume.
        volume: String,
        /// What is wrong.
        reason: String,
    },
    /// What the node has at the path is something else.
    #[error(
        "MountVolume.SetUp failed for volume {volume:?} : hostPath type check failed: {path} is not {expected}"
    )]
    HostPath {
        /// The volume.
        volume: String,
        /// The path of the node.
        path: String,
        /// `a directory`, `a file`, `a socket file`, …
        expected: &'static str,
    },
    /// A path inside a volume that leads out of it.
    #[error("failed to prepare subPath {sub_path:?} of volume: {reason}")]
    SubPath {
        /// The path.
        sub_path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Mounts are to show on the other side, and the node's mount does not pass them on.
    #[error("path {path:?} is mounted on {mount:?} but it is not a {expected} mount")]
    Propagation {
        /// The path of the node.
        path: PathBuf,
        /// Where its file system is mounted.
        mount: PathBuf,
        /// `shared`, `shared or slave`
        expected: &'static str,
    },
    /// The file system says no.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl VolumeError {
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }

    /// The error and its cause, in one line.
    pub fn message(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}
