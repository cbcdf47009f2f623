//! What the hub's sessions find out, and what they count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gannet_protocols_model::{Generation, NodeName, PodUid, Report, Session};
use gannet_protocols_wire::{CommandId, CommandState, Topic};

use crate::Message;

/// The hub's rhythm.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Grows with each start of the hub: a new one asks nodes for whole reports.
    pub epoch: u64,
    /// A node that said nothing for so long is down: one and a half beat intervals.
    pub silence: Duration,
    /// The least time between two demands for a whole report of one node.
    pub sync_every: Duration,
    /// The first time after which a desired document is sent again to a node that does not work towards it; doubles, up
    /// to an hour, since a node may have a reason.
    pub resend_after: Duration,
    /// The most nodes that are remembered.
    pub max_nodes: usize,
}

impl HubConfig {
    /// The usual rhythm, for beats every 30 seconds.
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            silence: Duration::from_secs(45),
            sync_every: Duration::from_secs(10),
            resend_after: Duration::from_secs(60),
            max_nodes: 200_000,
        }
    }
}

/// What the shell is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubOutput {
    /// Send this.
    Publish(Message),
    /// Tell the hub this.
    Fact(Fact),
}

/// What became known about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The node is there: born, or heard of again.
    NodeUp {
        /// The node.
        node: NodeName,
        /// Its session.
        session: Session,
    },
    /// The node is not there any more.
    NodeDown {
        /// The node.
        node: NodeName,
        /// The session that ended or fell silent.
        session: Session,
        /// How that became known.
        why: DownReason,
    },
    /// The node reported, and this is newer than what it reported before.
    Report {
        /// The node.
        node: NodeName,
        /// What it said.
        report: Box<Report>,
    },
    /// The node works towards this generation, as its newest beat or report says. Told where it changed.
    Generation {
        /// The node.
        node: NodeName,
        /// The generation.
        generation: Generation,
    },
    /// All pods of which something is on the node while it works towards this generation. Told where either changed, and
    /// only where every report since a whole one came: so a pod that is not listed is not there, even if the report that
    /// would have said so never was (the node never heard of the pod) or was lost.
    Inventory {
        /// The node.
        node: NodeName,
        /// The generation.
        generation: Generation,
        /// Its pods.
        pods: BTreeSet<PodUid>,
    },
    /// A command is this far.
    Command {
        /// The node.
        node: NodeName,
        /// The command.
        id: CommandId,
        /// How far.
        state: CommandState,
    },
}

/// How a node's end became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownReason {
    /// Its last will, or its own word.
    Died,
    /// Nothing was heard for too long.
    Silent,
}

/// What was dropped, and why; for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that did not parse, or came where they must not, by [`topic_kind`].
    pub malformed: BTreeMap<&'static str, u64>,
    /// Reports, births and deaths that were older than what is known.
    pub outdated: u64,
    /// Blobs that were given out.
    pub blobs_sent: u64,
    /// Blobs that were refused.
    pub blobs_refused: u64,
    /// Whole reports that were demanded.
    pub syncs: u64,
    /// Desired documents that were sent again.
    pub resent: u64,
}

/// The kind of a topic in one word, for counters.
pub const fn topic_kind(topic: &Topic) -> &'static str {
    match topic {
        Topic::HubState => "hub-state",
        Topic::State(_) => "state",
        Topic::Desired(_) => "desired",
        Topic::Get(_) => "get",
        Topic::Blob(..) => "blob",
        Topic::Beat(_) => "beat",
        Topic::Report(_) => "report",
        Topic::Command(..) => "cmd",
        Topic::CommandState(..) => "cmd-state",
        Topic::StreamUp(..) => "stream-up",
        Topic::StreamDown(..) => "stream-down",
    }
}
