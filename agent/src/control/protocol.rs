//! What is asked over the control socket, and the answers.

use std::collections::BTreeMap;

use gannet_protocols_model::{Generation, Manifest, NodeInfo, NodeName, PodEntry, PodStatus, Timestamp};
use serde::{Deserialize, Serialize};

use super::event_ring::KeptEvent;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// The node and its pods. Answer: one [`Answer`].
    Ps,
    /// A log. Answer: [`gannet_protocols_wire::Up`] frames, as over the link.
    Logs(LogsOf),
    /// All about a pod. Answer: one [`Described`], or [`Failed`].
    Describe(PodOf),
    /// What the node and its pods use. Answer: one [`gannet_protocols_model::NodeUsage`], or [`Failed`].
    Stats,
    /// A command in a container. Answer: [`super::Frame`]s.
    Exec(ExecOf),
}

/// A pod by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PodOf {
    /// `NAME`, `NAMESPACE/NAME` or the beginning of its uid.
    pub(crate) pod: String,
}

/// A log by names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LogsOf {
    /// As [`PodOf::pod`].
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) timestamps: bool,
    pub(crate) tail: Option<u64>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) limit_bytes: Option<u64>,
}

/// A command by names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ExecOf {
    /// As [`PodOf::pod`].
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// Whether it gets an input; else it reads an end at once.
    pub(crate) stdin: bool,
    /// On a terminal of its own, of this many rows and columns.
    pub(crate) tty: Option<(u16, u16)>,
    /// What kind of terminal shows it.
    pub(crate) term: Option<String>,
}

/// The node and its pods.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) node: NodeName,
    pub(crate) generation: Generation,
    /// Bytes that the ledger wrote to flash since the agent's start.
    pub(crate) ledger_bytes_written: u64,
    pub(crate) info: NodeInfo,
    pub(crate) pods: Vec<PodStatus>,
}

/// A pod as it should be and as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Described {
    pub(crate) node: NodeName,
    pub(crate) node_address: std::net::Ipv4Addr,
    pub(crate) status: PodStatus,
    /// What the desired document says of it; none for one that only goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<PodEntry>,
    /// The manifest in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Manifest>,
    /// What happened to it lately, oldest first.
    pub(crate) events: Vec<KeptEvent>,
    /// The devices that its containers have, by container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) devices: BTreeMap<String, Vec<String>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) error: String,
}

/// One message and its end.
pub(crate) fn to_line<T: Serialize>(message: &T) -> Vec<u8> {
    // Messages are made of strings and numbers: they always serialize.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}
