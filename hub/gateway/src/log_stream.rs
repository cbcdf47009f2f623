//! A container's log, read through its node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use gannet_protocols_link::StreamFault;
use gannet_protocols_model::NodeName;
use gannet_protocols_wire::{Down, LogRequest, Open};
use tokio::time::{Instant, timeout, timeout_at};

use crate::outbox::Outbox;
use crate::streams::{Found, Pipe, Streams, down};

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after its answer a node may still say that it cannot: such errors then come instead of a stream.
const SECOND_THOUGHT: Duration = Duration::from_millis(200);

/// Why a log cannot be read, or not further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogStreamError {
    /// The node is not there.
    #[error("node {node} is not connected")]
    NotConnected {
        /// The node.
        node: NodeName,
    },
    /// The node said nothing.
    #[error("node {node} did not answer within {} seconds", PATIENCE.as_secs())]
    Timeout {
        /// The node.
        node: NodeName,
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
struct Reader {
    streams: Streams,
    outbox: Outbox,
    pipe: Arc<Pipe>,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Bytes, LogStreamError>> {
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

    /// Waits until the node has answered, and a moment more for its second thoughts.
    async fn answered(&self) -> Result<(), LogStreamError> {
        let node = || self.pipe.node.clone();
        let deadline = Instant::now() + PATIENCE;
        while !self.pipe.progress().0 {
            timeout_at(deadline, self.pipe.changed())
                .await
                .map_err(|_| LogStreamError::Timeout { node: node() })?;
        }
        let second_thought = async {
            while !self.pipe.progress().1 {
                self.pipe.changed().await;
            }
        };
        if timeout(SECOND_THOUGHT, second_thought).await.is_ok() {
            // Bytes that came before an error are still worth reading.
            if let Some(error) = self.pipe.early_error() {
                return Err(error);
            }
        }
        Ok(())
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

/// Opens a stream and waits for the node's answer.
pub(crate) async fn open(
    streams: Streams,
    outbox: Outbox,
    pipe: Arc<Pipe>,
    request: LogRequest,
) -> Result<impl Stream<Item = Result<Bytes, LogStreamError>> + Send + use<>, LogStreamError> {
    let reader = Reader { streams, outbox, pipe, over: false };
    let open = down(&reader.pipe.node, &reader.pipe.id, &Down::Open(Open::Logs(request)));
    reader.outbox.send(open).await;
    reader.answered().await?;
    Ok(futures::stream::unfold(
        reader,
        |mut reader| async move { reader.next().await.map(|item| (item, reader)) },
    ))
}
