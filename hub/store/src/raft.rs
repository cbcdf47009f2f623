//! openraft's types filled in, and the command that a log entry carries.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Expect, Op, Outcome, Transaction};

openraft::declare_raft_types!(
    /// What our Raft is made of.
    pub(crate) TypeConfig:
        D = Command,
        R = Vec<Outcome>,
        NodeId = u64,
        Node = openraft::BasicNode,
        SnapshotData = tokio::fs::File,
);

pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, openraft::BasicNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, openraft::BasicNode>;
pub(crate) type StorageError = openraft::StorageError<u64>;

/// The transactions that waited together: one log entry, one flush. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Command {
    pub(crate) transactions: Arc<Vec<Change>>,
}

/// A transaction as the state machine takes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Change {
    pub(crate) edits: Vec<Edit>,
}

/// An operation with its key and value in the form in which they stay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Edit {
    pub(crate) key: Box<[u8]>,
    pub(crate) expect: Expect,
    /// None deletes.
    pub(crate) value: Option<Arc<[u8]>>,
}

impl From<Transaction> for Change {
    fn from(transaction: Transaction) -> Self {
        let edit = |op| match op {
            Op::Put { key, value, expect } => Edit { key: key.encode(), expect, value: Some(value.into()) },
            Op::Delete { key, expect } => Edit { key: key.encode(), expect, value: None },
        };
        Self { edits: transaction.ops.into_iter().map(edit).collect() }
    }
}

impl From<Vec<Change>> for Command {
    fn from(transactions: Vec<Change>) -> Self {
        Self { transactions: Arc::new(transactions) }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} transactions)", self.transactions.len())
    }
}

// openraft asks for serde; our log and our frames use `codec`, and both give the same bytes.
impl Serialize for Command {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        crate::codec::put_command(&mut bytes, self);
        s.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(d)?;
        crate::codec::command(&bytes).map_err(serde::de::Error::custom)
    }
}
