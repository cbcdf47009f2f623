//! What is asked of the store and what comes of it: transactions, outcomes, events.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Key, KeyError};

/// Kubernetes allows 1.5 MB an object (etcd's bound); some room for what a server adds.
pub const MAX_VALUE_BYTES: usize = 2 * 1024 * 1024;
/// A transaction is one log entry, which travels in one frame.
pub const MAX_TRANSACTION_BYTES: usize = 8 * 1024 * 1024;
/// A namespace's deletion in one go is the largest transaction anybody makes.
pub const MAX_OPS: usize = 4096;

/// The store's version: grows by one with each committed transaction that changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an operation expects of its key; where it finds something else, the transaction does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// Nothing.
    Any,
    /// There is no such key.
    Absent,
    /// The key was last modified at this revision.
    At(Revision),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets the key's value.
    Put {
        /// Of which key.
        key: Key,
        /// The new value; the store does not look into it.
        value: Vec<u8>,
        /// On which condition.
        expect: Expect,
    },
    /// Removes the key; changes nothing where it is absent and that is not against the condition.
    Delete {
        /// Which key.
        key: Key,
        /// On which condition.
        expect: Expect,
    },
}

impl Op {
    /// The key that this changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

/// Changes that happen all or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// In this order; a key at most once.
    pub ops: Vec<Op>,
}

impl From<Op> for Transaction {
    fn from(op: Op) -> Self {
        Self { ops: vec![op] }
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It happened.
    Committed {
        /// The store's revision with it.
        revision: Revision,
        /// Of each operation, the revision at which its key was modified. A delete that found nothing modified nothing:
        /// it has the store's revision.
        results: Vec<Revision>,
    },
    /// It did not: an operation found something else than it expected.
    Conflict {
        /// Which operation, counted from 0.
        op: usize,
        /// When the key was last modified; none if there is no such key.
        found: Option<Revision>,
    },
}

/// A change that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The store's revision with the change; events of one transaction share it.
    pub revision: Revision,
    /// What changed.
    pub key: Key,
    /// How.
    pub kind: EventKind,
}

/// How a key changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// It has this value now.
    Put {
        /// Was there no such key before?
        created: bool,
        /// The value now.
        value: Arc<[u8]>,
        /// The value before.
        previous: Option<Arc<[u8]>>,
    },
    /// It is gone.
    Delete {
        /// The value before.
        previous: Arc<[u8]>,
    },
}

/// Why a transaction is not even proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// A key that cannot be stored.
    #[error("operation {op} has a bad key")]
    Key {
        /// Which operation.
        op: usize,
        #[source]
        source: KeyError,
    },
    /// Two operations on one key.
    #[error("key {key} is in the transaction twice")]
    Twice {
        /// Which key.
        key: Key,
    },
    /// A value over the bound.
    #[error("the value of {key} has {bytes} bytes, more than {MAX_VALUE_BYTES}")]
    Value {
        /// Of which key.
        key: Key,
        /// Its length.
        bytes: usize,
    },
    /// Too much in one transaction.
    #[error(
        "the transaction has {ops} operations and {bytes} bytes; at most {MAX_OPS} and {MAX_TRANSACTION_BYTES} are allowed"
    )]
    Size {
        /// Its operations.
        ops: usize,
        /// Its bytes.
        bytes: usize,
    },
}

impl Transaction {
    /// Can this be proposed? Gives its size.
    pub(crate) fn validate(&self) -> Result<usize, TransactionError> {
        let mut keys = BTreeSet::new();
        let mut bytes = 0_usize;
        for (op, change) in self.ops.iter().enumerate() {
            let key = change.key();
            key.validate().map_err(|source| TransactionError::Key { op, source })?;
            if !keys.insert(key) {
                return Err(TransactionError::Twice { key: key.clone() });
            }
            // Lengths and tags of the encoded form are below 32 bytes.
            bytes += key.kind.len() + key.namespace.len() + key.name.len() + 32;
            if let Op::Put { value, .. } = change {
                if value.len() > MAX_VALUE_BYTES {
                    return Err(TransactionError::Value { key: key.clone(), bytes: value.len() });
                }
                bytes += value.len();
            }
        }
        if self.ops.len() > MAX_OPS || bytes > MAX_TRANSACTION_BYTES {
            return Err(TransactionError::Size { ops: self.ops.len(), bytes });
        }
        Ok(bytes)
    }
}
