//! What the node's session is given at its start, and what it asks of the shell.

use std::time::Duration;

use gannet_protocols_model::{Desired, Digest, Generation, NodeName, Session, VerifyingKey};
use gannet_protocols_wire::{Open, StreamId};

use crate::Message;

/// Who the node is, and its rhythm.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// This node.
    pub node: NodeName,
    /// Grows with every start of the agent.
    pub session: Session,
    /// The hub's key, pinned at enrolment.
    pub key: VerifyingKey,
    /// The time between two beats.
    pub beat_interval: Duration,
    /// How long changes are gathered before they are reported.
    pub coalesce: Duration,
    /// A new hub asks every node for a whole report; nodes spread theirs over this time.
    pub spread: Duration,
}

impl AgentConfig {
    /// A node with the usual rhythm.
    pub fn new(node: NodeName, session: Session, key: VerifyingKey) -> Self {
        Self {
            node,
            session,
            key,
            beat_interval: Duration::from_secs(30),
            coalesce: Duration::from_millis(200),
            spread: Duration::from_secs(2),
        }
    }
}

/// The desired document that the ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its generation.
    pub generation: Generation,
    /// The digest of its signed envelope's bytes.
    pub envelope: Digest,
}

/// What the shell is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentOutput {
    /// Send this.
    Publish(Message),
    /// Look whether the ledger has this blob, then call [`crate::AgentSession::on_look_up`].
    LookUp {
        /// Which blob.
        digest: Digest,
    },
    /// Write this blob to the ledger; the bytes were checked. Where that fails: [`crate::AgentSession::on_ledger_failed`],
    /// and whatever follows in the same list is dropped.
    KeepBlob {
        /// Its name.
        digest: Digest,
        /// The blob.
        bytes: Vec<u8>,
    },
    /// Write this document to the ledger and work towards it: everything that it names is in the ledger. Then call
    /// [`crate::AgentSession::on_ledger`], or [`crate::AgentSession::on_ledger_failed`].
    Accept {
        /// The document.
        desired: Desired,
        /// Its signed bytes.
        envelope: Vec<u8>,
    },
    /// A document was refused and changes nothing. The hub is told with the next report.
    Refused {
        /// Why.
        reason: String,
        /// Its generation, where that could be read.
        generation: Option<Generation>,
    },
    /// The hub wants to read something, and was told that the node has the stream open: send it with [`crate::Outgoing`], and call [`crate::AgentSession::on_stream_ended`] at the end.
    OpenStream {
        /// The stream.
        id: StreamId,
        /// What the hub wants to read.
        request: Open,
    },
    /// So many more bytes may be sent: [`crate::Outgoing::grant`].
    StreamCredit {
        /// The stream.
        id: StreamId,
        /// How many.
        bytes: u64,
    },
    /// The reader, or the link, has gone: end the stream without another word.
    CloseStream {
        /// The stream.
        id: StreamId,
    },
}
