//! The state machine: keys, values, revisions, in memory. Deterministic; knows neither Raft's log nor the disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::history::History;
use crate::raft::{Change, LogId, StoredMembership};
use crate::{Event, EventKind, Expect, Key, Outcome, Revision};

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) created: Revision,
    pub(crate) modified: Revision,
    pub(crate) value: Arc<[u8]>,
}

pub(crate) type Records = BTreeMap<Box<[u8]>, Record>;

/// An object as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: Key,
    /// Its value, shared with the store.
    pub value: Arc<[u8]>,
    /// The revision at which the key came to be.
    pub created: Revision,
    /// The revision of its last change.
    pub modified: Revision,
}

/// Which objects to list, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Of this kind.
    pub kind: String,
    /// In this namespace; none means in all.
    pub namespace: Option<String>,
    /// Only what comes after this key.
    pub after: Option<Key>,
    /// At most this many; none means all.
    pub limit: Option<usize>,
}

impl Range {
    /// All objects of a kind.
    pub fn of(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: None, after: None, limit: None }
    }

    /// All objects of a kind in a namespace.
    pub fn within(kind: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..Self::of(kind) }
    }

    /// A page of this range: what follows a key, and at most so many.
    #[must_use]
    pub fn page(self, after: Option<Key>, limit: Option<usize>) -> Self {
        Self { after, limit, ..self }
    }
}

/// A consistent part of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub items: Vec<Stored>,
    /// The store's revision at which these were the objects. A later page has a later one.
    pub revision: Revision,
    /// If there is more: the key after which it starts.
    pub more: Option<Key>,
    /// How many objects of the range come after these.
    pub remaining: usize,
}

/// What has to be written to disk for the changes that were applied: the last value of each key, none if it is gone.
pub(crate) type Dirty<'a> = &'a mut dyn FnMut(&[u8], Option<&Record>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) records: Records,
    pub(crate) revision: Revision,
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) history: History,
}

impl State {
    pub(crate) fn new(records: Records, revision: Revision, history: usize) -> Self {
        let history = History::new(history, revision);
        Self { records, revision, applied: None, membership: StoredMembership::default(), history }
    }

    /// Does the transaction, as a whole or not at all.
    pub(crate) fn apply(&mut self, change: &Change, dirty: Dirty<'_>) -> Outcome {
        let next = Revision(self.revision.0 + 1);
        // What the transaction itself has changed so far; the proposer lets a key in only once, a log might not.
        let mut staged: BTreeMap<&[u8], Option<Revision>> = BTreeMap::new();
        for (op, edit) in change.edits.iter().enumerate() {
            let found = match staged.get(edit.key.as_ref()) {
                Some(found) => *found,
                None => self.records.get(&edit.key).map(|record| record.modified),
            };
            let holds = match edit.expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::At(revision) => found == Some(revision),
            };
            if !holds {
                return Outcome::Conflict { op, found };
            }
            staged.insert(&edit.key, edit.value.as_ref().map(|_| next));
        }

        let mut results = Vec::with_capacity(change.edits.len());
        for edit in &change.edits {
            // What commits has been checked; keys in a log parse, or the log would not have.
            let Ok(key) = Key::decode(&edit.key) else { continue };
            let kind = match &edit.value {
                Some(value) => {
                    let before = self.records.get(&edit.key);
                    let created = before.map_or(next, |record| record.created);
                    let record = Record { created, modified: next, value: value.clone() };
                    dirty(&edit.key, Some(&record));
                    let before = self.records.insert(edit.key.clone(), record);
                    let previous = before.map(|record| record.value);
                    EventKind::Put { created: previous.is_none(), value: value.clone(), previous }
                }
                None => match self.records.remove(&edit.key) {
                    Some(before) => {
                        dirty(&edit.key, None);
                        EventKind::Delete { previous: before.value }
                    }
                    None => {
                        results.push(self.revision);
                        continue;
                    }
                },
            };
            self.history.push(Event { revision: next, key, kind });
            results.push(next);
        }
        if results.contains(&next) {
            self.revision = next;
        }
        Outcome::Committed { revision: self.revision, results }
    }

    /// Takes another state's place; watches have to start again.
    pub(crate) fn replace(&mut self, records: Records, revision: Revision) {
        self.records = records;
        self.revision = revision;
        self.history.reset(revision);
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Stored> {
        let record = self.records.get(&key.encode())?;
        Some(stored(key.clone(), record))
    }

    pub(crate) fn list(&self, range: &Range) -> Page {
        let prefix = match &range.namespace {
            Some(namespace) => [range.kind.as_bytes(), &[0], namespace.as_bytes(), &[0]].concat(),
            None => [range.kind.as_bytes(), &[0]].concat(),
        };
        let after = range.after.as_ref().map(Key::encode).filter(|after| after.as_ref() >= prefix.as_slice());
        let start: Bound<&[u8]> = match &after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(&prefix),
        };
        let mut rest = self
            .records
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(&prefix));
        let items: Vec<Stored> = rest
            .by_ref()
            .take(range.limit.unwrap_or(usize::MAX))
            .filter_map(|(key, record)| Key::decode(key).ok().map(|key| stored(key, record)))
            .collect();
        let remaining = rest.count();
        let more = (remaining > 0)
            .then(|| items.last().map(|item| item.key.clone()).or(range.after.clone()))
            .flatten();
        Page { items, revision: self.revision, more, remaining }
    }
}

fn stored(key: Key, record: &Record) -> Stored {
    Stored { key, value: record.value.clone(), created: record.created, modified: record.modified }
}

#[cfg(test)]
#[path = "state_test.rs"]
mod tests;
