//! Streams over `node/{node}/stream/{id}/{up,down}`: logs now, exec and port-forward later.
//!
//! Flow control is by credit: the node sends at most [`WINDOW_BYTES`] of data that the hub has not yet granted anew, so a
//! noisy log cannot fill the broker or delay a beat.

use gannet_protocols_model::{PodUid, Timestamp};
use serde::{Deserialize, Serialize};

/// The most data (before base64) in one frame.
pub const MAX_DATA_BYTES: usize = 16 << 10;
/// How much data may be under way before the reader grants more.
pub const WINDOW_BYTES: u64 = 128 << 10;

/// From the hub to the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Down {
    /// Opens the stream; the first [`WINDOW_BYTES`] are granted with it.
    Open(Open),
    /// So many more bytes may be sent.
    Credit(u64),
    /// The reader has gone.
    Close,
}

/// From the node to the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Up {
    /// The next bytes, in base64.
    Data {
        /// Counts the data frames from 0; a repeated one is dropped, a missing one ends the stream. Frame 0 is empty and
        /// says that the node has the stream open.
        seq: u64,
        /// The bytes, in base64.
        data: String,
    },
    /// The end; with why, where it is not an ordinary end.
    Close {
        /// Why the stream could not go on.
        error: Option<String>,
    },
}

/// What a stream is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Open {
    /// A container's log.
    Logs(LogRequest),
    /// What the node and its pods use: one [`gannet_protocols_model::NodeUsage`] as JSON.
    Usage,
}

/// `PodLogOptions` of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// The pod.
    pub pod: PodUid,
    /// Its container.
    pub container: String,
    /// Go on as the container writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    /// The run before the last restart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub previous: bool,
    /// A time stamp before each line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timestamps: bool,
    /// Only the last so many lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// Only lines from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// At most so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

impl Up {
    /// A data frame.
    pub fn data(seq: u64, bytes: &[u8]) -> Self {
        use base64::Engine as _;
        Self::Data { seq, data: base64::engine::general_purpose::STANDARD.encode(bytes) }
    }

    /// The bytes of a data frame's text; `None` where it is not base64.
    pub fn bytes(data: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(data).ok()
    }
}
