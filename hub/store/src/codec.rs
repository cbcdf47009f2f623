//! The bytes of a log entry, on disk and between hubs: lengths and fixed integers, big-endian, behind a version.
//!
//! Own format rather than openraft's serde: values are bytes (JSON would triple them), and what lies on disk does not
//! change with a library. Everything read is bounded by the input's length.

use std::sync::Arc;

use openraft::{CommittedLeaderId, EntryPayload};

use crate::raft::{Change, Command, Edit, Entry, LogId};
use crate::{Expect, Key, Revision};

const VERSION: u8 = 1;
const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;
const DELETE: u8 = 0;
const PUT: u8 = 1;
const ANY: u8 = 0;
const ABSENT: u8 = 1;
const AT: u8 = 2;

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("the bytes end within {what}")]
    Short { what: &'static str },
    #[error("{what} has the unknown tag {tag}")]
    Tag { what: &'static str, tag: u8 },
    #[error("{bytes} bytes are left over")]
    Long { bytes: usize },
    #[error("a key is not kind, namespace and name")]
    Key,
    #[error("the membership does not parse: {reason}")]
    Membership { reason: String },
}

pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(VERSION);
    out.extend(entry.log_id.leader_id.term.to_be_bytes());
    out.extend(entry.log_id.leader_id.node_id.to_be_bytes());
    out.extend(entry.log_id.index.to_be_bytes());
    match &entry.payload {
        EntryPayload::Blank => out.push(BLANK),
        EntryPayload::Normal(command) => {
            out.push(COMMAND);
            put_command(out, command);
        }
        EntryPayload::Membership(membership) => {
            out.push(MEMBERSHIP);
            // Maps of numbers to addresses always serialize.
            out.extend(serde_json::to_vec(membership).unwrap_or_default());
        }
    }
}

pub(crate) fn put_command(out: &mut Vec<u8>, command: &Command) {
    put_len(out, command.transactions.len());
    for change in command.transactions.iter() {
        put_len(out, change.edits.len());
        for edit in &change.edits {
            match edit.expect {
                Expect::Any => out.push(ANY),
                Expect::Absent => out.push(ABSENT),
                Expect::At(revision) => {
                    out.push(AT);
                    out.extend(revision.0.to_be_bytes());
                }
            }
            put_bytes(out, &edit.key);
            match &edit.value {
                None => out.push(DELETE),
                Some(value) => {
                    out.push(PUT);
                    put_bytes(out, value);
                }
            }
        }
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    // Transactions are bounded far below 4 GiB before they are proposed.
    out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

pub(crate) fn entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    let mut input = Input(bytes);
    match input.byte("an entry")? {
        VERSION => {}
        tag => return Err(CodecError::Tag { what: "an entry's version", tag }),
    }
    let (term, node, index) = (input.u64("a term")?, input.u64("a node's id")?, input.u64("an index")?);
    let log_id = LogId::new(CommittedLeaderId::new(term, node), index);
    let payload = match input.byte("a payload")? {
        BLANK => EntryPayload::Blank,
        COMMAND => return Ok(Entry { log_id, payload: EntryPayload::Normal(command(input.0)?) }),
        MEMBERSHIP => {
            let membership = serde_json::from_slice(input.0)
                .map_err(|e| CodecError::Membership { reason: e.to_string() })?;
            return Ok(Entry { log_id, payload: EntryPayload::Membership(membership) });
        }
        tag => return Err(CodecError::Tag { what: "a payload", tag }),
    };
    input.end()?;
    Ok(Entry { log_id, payload })
}

pub(crate) fn command(bytes: &[u8]) -> Result<Command, CodecError> {
    let mut input = Input(bytes);
    let mut transactions = Vec::new();
    for _ in 0..input.len("a command")? {
        let mut change = Change::default();
        for _ in 0..input.len("a transaction")? {
            change.edits.push(edit(&mut input)?);
        }
        transactions.push(change);
    }
    input.end()?;
    Ok(transactions.into())
}

fn edit(input: &mut Input<'_>) -> Result<Edit, CodecError> {
    let expect = match input.byte("a condition")? {
        ANY => Expect::Any,
        ABSENT => Expect::Absent,
        AT => Expect::At(Revision(input.u64("a revision")?)),
        tag => return Err(CodecError::Tag { what: "a condition", tag }),
    };
    let key: Box<[u8]> = input.bytes("a key")?.into();
    Key::decode(&key).map_err(|_| CodecError::Key)?;
    let value = match input.byte("an operation")? {
        DELETE => None,
        PUT => Some(Arc::from(input.bytes("a value")?)),
        tag => return Err(CodecError::Tag { what: "an operation", tag }),
    };
    Ok(Edit { key, expect, value })
}

/// What is still to be read.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(CodecError::Short { what })?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, CodecError> {
        Ok(self.take(1, what)?.first().copied().unwrap_or_default())
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let bytes = self.take(8, what)?;
        Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| CodecError::Short { what })?))
    }

    fn len(&mut self, what: &'static str) -> Result<usize, CodecError> {
        let bytes = self.take(4, what)?;
        let len = u32::from_be_bytes(bytes.try_into().map_err(|_| CodecError::Short { what })?);
        usize::try_from(len).map_err(|_| CodecError::Short { what })
    }

    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], CodecError> {
        let len = self.len(what)?;
        self.take(len, what)
    }

    fn end(&self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::Long { bytes: self.0.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openraft::Membership;
    use proptest::prelude::*;

    use super::*;

    fn check(payload: EntryPayload<crate::raft::TypeConfig>) {
        let before = Entry { log_id: LogId::new(CommittedLeaderId::new(7, 2), 99), payload };
        let mut bytes = Vec::new();
        put_entry(&mut bytes, &before);
        assert_eq!(entry(&bytes).unwrap(), before);
        for cut in 0..bytes.len() {
            // A membership cut short may still be JSON only at its full length.
            assert!(entry(&bytes[..cut]).is_err(), "{cut} of {}", bytes.len());
        }
        bytes.push(0);
        assert!(entry(&bytes).is_err());
    }

    #[test]
    fn entries_and_back() {
        let edit = |expect, value: Option<&[u8]>| Edit {
            key: Key::new("pods", "default", "web").encode(),
            expect,
            value: value.map(Arc::from),
        };
        check(EntryPayload::Blank);
        check(EntryPayload::Membership(Membership::new(vec![BTreeSet::from([1, 2])], ())));
        check(EntryPayload::Normal(Command::default()));
        let edits = vec![
            edit(Expect::Any, None),
            edit(Expect::Absent, Some(b"{}")),
            edit(Expect::At(Revision(5)), Some(b"")),
        ];
        check(EntryPayload::Normal(vec![Change::default(), Change { edits }].into()));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error_or_an_entry(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = entry(&bytes);
            let _ = command(&bytes);
        }
    }
}
