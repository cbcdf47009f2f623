//! Raft's log and vote, on sled through the committing thread, with the newest entries in memory: the leader applies and
//! replicates what it has just written without reading or parsing it again.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader, StorageIOError};

use crate::codec;
use crate::database::{log_key, put_purged, put_vote};
use crate::flush::Committer;
use crate::raft::{Entry, LogId, StorageError, TypeConfig, Vote};
use crate::witness::{Witness, peers_in};

/// Entries kept in memory once flushed: as much as followers that keep up are behind.
const CACHED_ENTRIES: usize = 512;
const CACHED_BYTES: usize = 4 * 1024 * 1024;
/// What one append to a follower carries at most, beyond its first entry: keeps a frame below the network's bound.
const MAX_READ_BYTES: usize = 4 * 1024 * 1024;

/// The log; clones share it.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
}

struct Shared {
    db: sled::Db,
    tree: sled::Tree,
    committer: Committer,
    witness: Arc<Witness>,
    appended: Arc<AtomicU64>,
    tail: Mutex<Tail>,
}

/// What is known without reading sled.
#[derive(Default)]
struct Tail {
    /// The newest entries with their length on disk; all that is not flushed is among them.
    entries: BTreeMap<u64, (Entry, usize)>,
    bytes: usize,
    flushed: Option<u64>,
    last: Option<LogId>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    /// Known to be committed when the database was opened, though its state may be older.
    committed: Option<LogId>,
}

impl LogStore {
    pub(crate) fn new(
        database: &crate::database::Database,
        committer: Committer,
        witness: Arc<Witness>,
    ) -> Self {
        let tail = Tail {
            last: database.last,
            purged: database.purged,
            vote: database.vote,
            flushed: database.last.map(|id| id.index),
            ..Tail::default()
        };
        let (db, tree) = (database.db.clone(), database.log.clone());
        Self {
            shared: Arc::new(Shared {
                db,
                tree,
                committer,
                witness,
                appended: Arc::default(),
                tail: Mutex::new(tail),
            }),
        }
    }

    /// Says what a snapshot beside the database proves to be committed. After a crash the state, which is flushed lazily,
    /// may be behind it, while the log still has the entries: openraft then applies them again.
    pub(crate) fn proven(self, committed: Option<LogId>) -> Self {
        self.shared.tail().committed = committed;
        self
    }

    /// Counts the bytes appended since the start.
    pub(crate) fn appended(&self) -> Arc<AtomicU64> {
        self.shared.appended.clone()
    }

    /// Entries of `start..end`, as many as fit, and one at least if there is one.
    async fn read(&self, start: u64, end: u64, max_bytes: usize) -> Result<Vec<Entry>, StorageError> {
        let (cached, cached_from) = {
            let tail = self.shared.tail();
            let end = end.min(tail.last.map_or(0, |last| last.index + 1));
            if start >= end {
                return Ok(Vec::new());
            }
            let cached: Vec<(Entry, usize)> =
                tail.entries.range(start..end).map(|(_, e)| e.clone()).collect();
            (cached, tail.entries.keys().next().copied().unwrap_or(end).min(end))
        };
        let mut bytes = 0;
        let mut entries = Vec::new();
        if start < cached_from {
            let tree = self.shared.tree.clone();
            let read = move || read_tree(&tree, start, cached_from, max_bytes);
            let found = tokio::task::spawn_blocking(read).await.map_err(io::Error::other).and_then(|r| r);
            let (found, size, complete) = found.map_err(|e| StorageIOError::read_logs(&e))?;
            entries = found;
            bytes = size;
            if !complete {
                return Ok(entries);
            }
        }
        for (entry, size) in cached {
            bytes += size;
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Also whether all of the range was read.
fn read_tree(
    tree: &sled::Tree,
    start: u64,
    end: u64,
    max_bytes: usize,
) -> io::Result<(Vec<Entry>, usize, bool)> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for found in tree.range(log_key(start)..log_key(end)) {
        let (_, value) = found.map_err(io::Error::from)?;
        bytes += value.len();
        if bytes > max_bytes && !entries.is_empty() {
            return Ok((entries, bytes, false));
        }
        entries.push(codec::entry(&value).map_err(io::Error::other)?);
    }
    Ok((entries, bytes, true))
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn push(&mut self, entry: Entry, size: usize) {
        self.last = Some(entry.log_id);
        self.bytes += size;
        if let Some((_, old)) = self.entries.insert(entry.log_id.index, (entry, size)) {
            self.bytes -= old;
        }
    }

    fn flushed(&mut self, index: u64) {
        self.flushed = self.flushed.max(Some(index));
        while self.entries.len() > CACHED_ENTRIES || self.bytes > CACHED_BYTES {
            match self.entries.first_entry() {
                Some(first) if Some(*first.key()) <= self.flushed => self.bytes -= first.remove().1,
                _ => break,
            }
        }
    }

    fn remove(&mut self, range: impl RangeBounds<u64>) {
        let keys: Vec<u64> = self.entries.range(range).map(|(index, _)| *index).collect();
        for index in keys {
            if let Some((_, size)) = self.entries.remove(&index) {
                self.bytes -= size;
            }
        }
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.read(start, end, MAX_READ_BYTES).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let tail = self.shared.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.shared.tail().committed)
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let shared = self.shared.clone();
        let vote = *vote;
        let db = shared.db.clone();
        shared
            .committer
            .wait(move || put_vote(&db, &vote))
            .await
            .map_err(|e| StorageIOError::write_vote(&e))?;
        // After sled, so that the copy never has more than sled has flushed.
        let witness = shared.witness.clone();
        let copied = tokio::task::spawn_blocking(move || witness.update(|seen| seen.vote = Some(vote))).await;
        copied.map_err(io::Error::other).and_then(|r| r).map_err(|e| StorageIOError::write_vote(&e))?;
        shared.tail().vote = Some(vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.shared.tail().vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let peers = peers_in(&entries);
        let mut batch = sled::Batch::default();
        let mut last = None;
        {
            let mut tail = self.shared.tail();
            for entry in entries {
                let mut bytes = Vec::new();
                codec::put_entry(&mut bytes, &entry);
                let index = entry.log_id.index;
                last = last.max(Some(index));
                self.shared.appended.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                tail.push(entry, bytes.len());
                batch.insert(&log_key(index), bytes);
            }
        }
        let (shared, tree) = (self.shared.clone(), self.shared.tree.clone());
        let done = move |result: io::Result<()>| {
            let result = result.and_then(|()| match peers {
                Some(peers) => shared.witness.update(|seen| seen.peers = peers),
                None => Ok(()),
            });
            if let (Ok(()), Some(last)) = (&result, last) {
                shared.tail().flushed(last);
            }
            callback.log_io_completed(result);
        };
        self.shared.committer.durable(move || tree.apply_batch(batch), done);
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let start = log_id.index;
        let tree = self.shared.tree.clone();
        let job = move || {
            let mut batch = sled::Batch::default();
            for key in tree.range(log_key(start)..=log_key(u64::MAX)).keys() {
                batch.remove(key?);
            }
            tree.apply_batch(batch)
        };
        self.shared.committer.wait(job).await.map_err(|e| StorageIOError::write_logs(&e))?;
        let before = match start.checked_sub(1) {
            Some(before) => self.read(before, start, usize::MAX).await?.first().map(|entry| entry.log_id),
            None => None,
        };
        let mut tail = self.shared.tail();
        tail.remove(start..);
        tail.last = before.or(tail.purged);
        tail.flushed = tail.flushed.min(start.checked_sub(1));
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let tree = self.shared.tree.clone();
        {
            let mut tail = self.shared.tail();
            tail.remove(..=log_id.index);
            tail.purged = tail.purged.max(Some(log_id));
            tail.last = tail.last.max(tail.purged);
        }
        let job = move || {
            let mut batch = sled::Batch::default();
            for key in tree.range(log_key(0)..=log_key(log_id.index)).keys() {
                batch.remove(key?);
            }
            put_purged(&mut batch, &log_id);
            tree.apply_batch(batch)
        };
        // What a crash leaves of purged entries is purged again.
        self.shared.committer.lazy(job).map_err(|e| StorageIOError::write_logs(&e))?;
        Ok(())
    }
}
