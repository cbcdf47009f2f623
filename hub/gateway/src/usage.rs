//! What a node and its pods use, asked for when somebody wants to know.

use std::time::Duration;

use gannet_protocols_model::{NodeName, NodeUsage};
use tokio::time::timeout;

use crate::reader::{Reader, StreamError};

/// How long a node may take for its figures: it reads some files of its kernel, so this is the way there and back.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest answer that is read: several hundred pods with ten containers each.
const MAX_BYTES: usize = 1 << 20;

/// Why there are no figures of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The node is not there, did not answer, or refused.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Not the JSON of a usage.
    #[error("node {node} answered with figures that do not parse: {reason}")]
    Form {
        /// The node.
        node: NodeName,
        /// What the parser said.
        reason: String,
    },
    /// More than is read.
    #[error("node {node} answered with more than {MAX_BYTES} bytes of figures")]
    Size {
        /// The node.
        node: NodeName,
    },
}

/// Reads the one document that the stream brings.
pub(crate) async fn read(mut reader: Reader) -> Result<NodeUsage, UsageError> {
    let node = reader.pipe.node.clone();
    let all = async {
        let mut text = Vec::new();
        while let Some(bytes) = reader.next().await {
            text.extend_from_slice(&bytes?);
            if text.len() > MAX_BYTES {
                return Err(UsageError::Size { node: node.clone() });
            }
        }
        Ok(text)
    };
    let late = || StreamError::Timeout { node: node.clone(), seconds: PATIENCE.as_secs() };
    let text = timeout(PATIENCE, all).await.map_err(|_| late())??;
    serde_json::from_slice(&text).map_err(|e| UsageError::Form { node: node.clone(), reason: e.to_string() })
}
