//! Group commit before Raft: whatever transactions wait become one log entry, so they share its flush.

use tokio::sync::{mpsc, oneshot};

use openraft::error::{ClientWriteError, RaftError};

use crate::raft::{Change, Command, Raft};
use crate::{MAX_TRANSACTION_BYTES, Outcome, TransactionError};

/// Transactions that may wait for the entry before theirs; more wait in `commit`.
pub(crate) const QUEUE: usize = 1024;
/// Transactions in an entry at most: bounds how long one application holds the state.
const MAX_GROUP: usize = 512;

/// Why a transaction was not committed, or is not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// This hub does not lead. Almost always nothing happened; a leader that has just been replaced cannot know, so
    /// whoever tries again must have an expectation in the transaction.
    #[error("this hub is not the leader")]
    NotLeader {
        /// The leader's id, if it is known.
        leader: Option<u64>,
        /// Where hubs reach it.
        address: Option<String>,
    },
    /// The transaction is refused as it stands.
    #[error("the transaction is refused")]
    Invalid(#[source] TransactionError),
    /// The store has stopped: it was shut down, or its disk fails. What was under way may have been committed.
    #[error("the store has stopped: {reason}")]
    Stopped {
        /// What was said.
        reason: String,
    },
}

pub(crate) struct Proposal {
    pub(crate) change: Change,
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Outcome, CommitError>>,
}

/// Proposes until all senders are gone.
pub(crate) async fn run(raft: Raft, mut proposals: mpsc::Receiver<Proposal>) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match proposals.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let mut bytes = first.bytes;
        let (mut changes, mut replies) = (vec![first.change], vec![first.reply]);
        while changes.len() < MAX_GROUP {
            let Ok(proposal) = proposals.try_recv() else { break };
            bytes += proposal.bytes;
            if bytes > MAX_TRANSACTION_BYTES {
                next = Some(proposal);
                break;
            }
            changes.push(proposal.change);
            replies.push(proposal.reply);
        }
        match raft.client_write(Command::from(changes)).await {
            Ok(response) => {
                for (reply, outcome) in replies.into_iter().zip(response.data) {
                    // Whoever asked may have gone.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(e) => {
                let error = commit_error(e);
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

fn commit_error(error: RaftError<u64, ClientWriteError<u64, openraft::BasicNode>>) -> CommitError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => CommitError::NotLeader {
            leader: forward.leader_id,
            address: forward.leader_node.map(|node| node.addr).filter(|address| !address.is_empty()),
        },
        other => CommitError::Stopped { reason: other.to_string() },
    }
}
