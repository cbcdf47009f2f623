//! The hub's end of one stream from a node, whatever it is for.

use std::sync::Arc;

use bytes::Bytes;
use gannet_protocols_link::StreamFault;
use gannet_protocols_model::NodeName;
use gannet_protocols_wire::{Down, Open};

use crate::outbox::Outbox;
use crate::streams::{Found, Pipe, Streams, down};

/// Why a stream cannot be read, or not further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The node is not there.
    #[error("node {node} is not connected")]
    NotConnected {
        /// The node.
        node: NodeName,
    },
    /// The node said nothing.
    #[error("node {node} did not answer within {seconds} seconds")]
    Timeout {
        /// The node.
        node: NodeName,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The node cannot, or could not go on.
    #[error("node {node}: {reason}")]
    Refused {
        /// The node.
        node: NodeName,
        /// What it said.
        reason: String,
    },
    /// The connection to the node was lost.
    #[error("the connection to node {node} was lost")]
    Lost {
        /// The node.
        node: NodeName,
    },
    /// The node does not keep to the protocol, or messages were lost.
    #[error("stream from node {node} is broken")]
    Fault {
        /// The node.
        node: NodeName,
        /// How.
        #[source]
        fault: StreamFault,
    },
}

/// Closes the stream when its reader goes.
pub(crate) struct Reader {
    streams: Streams,
    outbox: Outbox,
    pub(crate) pipe: Arc<Pipe>,
    over: bool,
}

impl Reader {
    /// Asks the node to open the stream. Its answer is still to come.
    pub(crate) async fn open(streams: Streams, outbox: Outbox, pipe: Arc<Pipe>, open: Open) -> Self {
        let reader = Self { streams, outbox, pipe, over: false };
        let message = down(&reader.pipe.node, &reader.pipe.id, &Down::Open(open));
        reader.outbox.send(message).await;
        reader
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, StreamError>> {
        loop {
            if self.over {
                return None;
            }
            match self.pipe.read() {
                Found::Bytes(bytes, grant) => {
                    if let Some(grant) = grant {
                        self.outbox.send(grant).await;
                    }
                    return Some(Ok(bytes));
                }
                Found::Nothing => self.pipe.changed().await,
                Found::End(end) => {
                    self.over = true;
                    return end.err().map(Err);
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.streams.close(&self.pipe.id);
        if !self.over {
            self.outbox.offer(down(&self.pipe.node, &self.pipe.id, &Down::Close));
        }
    }
}
