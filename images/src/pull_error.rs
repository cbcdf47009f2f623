//! Why there is no image, in the words that an operator reads in a pod's status.

use gannet_protocols_model::Digest;

use crate::config::ConfigError;
use crate::remote::client::ClientError;
use crate::{DocumentError, Platform, StoreError, UnpackError};

/// Why there is no image. [`PullError::message`] has all of it in one line.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Policy `Never`, and not here.
    #[error("container image {reference:?} is not present with pull policy of Never")]
    NeverPulled {
        /// The image.
        reference: String,
    },
    /// A name without a host, and no registry is configured.
    #[error("failed to pull image {reference:?}: no registry is configured for names without a host")]
    NoRegistry {
        /// The image.
        reference: String,
    },
    /// No registry has it, or one does not answer, or answers nonsense. One entry a registry, in order.
    #[error("failed to pull image {reference:?}: {}", tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Registry {
        /// The image.
        reference: String,
        /// Who was asked and what went wrong.
        tried: Vec<ClientError>,
    },
    /// The manifest is not one that can be run.
    #[error("failed to pull image {reference:?}: {at}")]
    Manifest {
        /// The image.
        reference: String,
        /// The manifest at its registry.
        at: String,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
    /// The configuration is not one of an image.
    #[error("failed to pull image {reference:?}")]
    Config {
        /// The image.
        reference: String,
        /// What is wrong with it.
        #[source]
        source: ConfigError,
    },
    /// Not for this machine.
    #[error("failed to pull image {reference:?}: no image for {platform} among {available}")]
    Platform {
        /// The image.
        reference: String,
        /// This machine.
        platform: Platform,
        /// What the index has.
        available: String,
    },
    /// A layer is larger than the limit.
    #[error("failed to pull image {reference:?}: layer {digest} has {size} bytes, more than {limit}")]
    LayerSize {
        /// The image.
        reference: String,
        /// The layer.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A layer cannot be unpacked.
    #[error("failed to pull image {reference:?}: cannot unpack layer {digest}")]
    Layer {
        /// The image.
        reference: String,
        /// The compressed layer.
        digest: Digest,
        /// Why not.
        #[source]
        source: Box<UnpackError>,
    },
    /// The disk.
    #[error("failed to pull image {reference:?}")]
    Store {
        /// The image.
        reference: String,
        /// What is wrong.
        #[source]
        source: StoreError,
    },
}

impl PullError {
    /// As kubelet names it in a container's `waiting` state.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NeverPulled { .. } => "ErrImageNeverPull",
            _ => "ErrImagePull",
        }
    }

    /// The error and all its causes, in one line.
    pub fn message(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Whether a registry did not answer, so that an image that is here may be used instead.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Registry { tried, .. } if tried.last().is_some_and(|t| t.failure.is_transient()))
    }
}
