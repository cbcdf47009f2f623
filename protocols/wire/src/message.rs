//! The messages of `state`, `get`, `blob` and `cmd`. `desired` is a [`gannet_protocols_model::Envelope`], `report` a
//! [`gannet_protocols_model::Report`].

use std::collections::BTreeMap;

use gannet_protocols_model::{Digest, Session, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The largest payload that is read: a signed desired document, or a blob in base64, with some room.
pub const MAX_MESSAGE_BYTES: usize = 2 << 20;
/// The largest blob that travels by MQTT; larger ones go by HTTPS.
pub const MAX_BLOB_BYTES: usize = 1 << 20;

/// Why a payload was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Larger than [`MAX_MESSAGE_BYTES`].
    #[error("message has {size} bytes, more than {MAX_MESSAGE_BYTES}")]
    Size {
        /// Its size in bytes.
        size: usize,
    },
    /// Not the JSON that the topic carries.
    #[error("message does not parse: {reason}")]
    Form {
        /// What the parser said.
        reason: String,
    },
}

/// A message's bytes.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Every message is made of strings, numbers and lists, with strings as keys: it always serializes.
    serde_json::to_vec(message).unwrap_or_default()
}

/// Reads a message, within its bound.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::Size { size: bytes.len() });
    }
    serde_json::from_slice(bytes).map_err(|e| WireError::Form { reason: e.to_string() })
}

/// `hub/state`, retained: whether a hub serves, and since which epoch. A new epoch asks agents for a whole report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubState {
    /// Whether it serves.
    pub alive: bool,
    /// Grows with each start of the hub.
    pub epoch: u64,
}

/// `node/{node}/state`, retained, also as the last will: birth and death.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Birth or death.
    pub alive: bool,
    /// Whose: a death with an older session than the newest birth means nothing.
    pub session: Session,
}

/// `node/{node}/get`: the node asks for a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// Which blob.
    pub digest: Digest,
}

/// `node/{node}/blob/{digest}`: the answer. The reader checks the bytes against the digest in the topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BlobReply {
    /// The blob, in base64.
    Data(String),
    /// Why there is none: unknown, or not for this node.
    Refused(String),
}

impl BlobReply {
    /// A reply that carries these bytes.
    pub fn data(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        Self::Data(base64::engine::general_purpose::STANDARD.encode(bytes))
    }

    /// The bytes, or why there are none.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        use base64::Engine as _;
        match self {
            Self::Data(text) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| "blob is not base64".to_owned()),
            Self::Refused(reason) => Err(reason.clone()),
        }
    }
}

/// `node/{node}/cmd/{id}`: a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// What to do: `sync` (send a whole report).
    pub name: String,
    /// How.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Not after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// `node/{node}/cmd/{id}/state`: how far a command is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandState {
    /// How far.
    pub phase: CommandPhase,
    /// The result, or why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandPhase {
    /// The node has it.
    Accepted,
    /// The node does it.
    Executing,
    /// Done.
    Successful,
    /// Not done, or refused.
    Failed,
}
