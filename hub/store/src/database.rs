//! sled opened, checked and laid out: the log, the vote, and the state machine's records.
//!
//! - tree `log`: `l` + index → entry; `purged` → the last log id that was removed.
//! - tree of sled's default name: `vote` → the vote; `state` → the number of the state's tree.
//! - tree `state-N`: `d` + key → created, modified, value; `applied` → Raft's position, membership, revision. Position and
//!   data change in one batch. An installed snapshot fills a tree of its own, then the number changes.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use openraft::RaftLogId as _;
use serde::{Deserialize, Serialize};

use crate::raft::{LogId, StoredMembership, Vote};
use crate::state::{Record, Records};
use crate::{Key, Revision, codec};

/// Everything that is read often is in our memory; sled's pages are only read at start.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// How many records of a snapshot go into sled at once.
const SEED_BATCH: usize = 1000;

const PURGED: &[u8] = b"purged";
const VOTE: &[u8] = b"vote";
const STATE: &[u8] = b"state";
const APPLIED: &[u8] = b"applied";

/// Where the state machine is in Raft's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) log_id: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) revision: Revision,
}

/// An open database with what memory needs of it.
pub(crate) struct Database {
    pub(crate) db: sled::Db,
    pub(crate) log: sled::Tree,
    pub(crate) state: sled::Tree,
    pub(crate) records: Records,
    pub(crate) applied: Applied,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    pub(crate) vote: Option<Vote>,
}

/// Why a database cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("sled fails: {0}")]
    Sled(#[from] sled::Error),
    #[error("{what} is damaged")]
    Damaged { what: &'static str },
    #[error("the log has {found} where {expected} should be")]
    Hole { found: u64, expected: u64 },
    #[error("the state is at {applied:?}, but the log starts after {purged:?}")]
    Behind { applied: Option<u64>, purged: Option<u64> },
}

impl Database {
    /// Opens and reads all of it. May panic where sled does: see [`noting_panics`].
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let db = open_sled(path)?;
        let log = db.open_tree("log")?;
        let vote = json(db.get(VOTE)?, "the vote")?;
        let purged: Option<LogId> = json(log.get(PURGED)?, "the purged position")?;
        // Before the state: reading that pushes the log's pages out of sled's cache.
        let last = check_log(&log, purged)?;
        let state = open_state(&db)?;
        let (records, applied) = load_state(&state)?;
        let index = |id: &Option<LogId>| id.map(|id| id.index);
        if purged > applied.log_id {
            return Err(DatabaseError::Behind { applied: index(&applied.log_id), purged: index(&purged) });
        }
        Ok(Self { db, log, state, records, applied, purged, last, vote })
    }

    /// Makes a database that starts where a snapshot ends: its state, an empty log after it, and a vote that is not
    /// committed, so that the next leader's term is new and no log id is given twice.
    pub(crate) fn seed(
        path: &Path,
        applied: &Applied,
        records: &Records,
        vote: Vote,
    ) -> Result<(), DatabaseError> {
        let db = open_sled(path)?;
        let log = db.open_tree("log")?;
        if let Some(last) = &applied.log_id {
            log.insert(PURGED, to_json(last))?;
        }
        db.insert(VOTE, to_json(&vote))?;
        replace_state(&db, records, applied)?;
        db.flush()?;
        Ok(())
    }
}

pub(crate) fn log_key(index: u64) -> [u8; 9] {
    let mut key = [b'l'; 9];
    for (to, from) in key.iter_mut().skip(1).zip(index.to_be_bytes()) {
        *to = from;
    }
    key
}

pub(crate) fn put_purged(batch: &mut sled::Batch, log_id: &LogId) {
    batch.insert(PURGED, to_json(log_id));
}

pub(crate) fn put_vote(db: &sled::Db, vote: &Vote) -> Result<(), sled::Error> {
    db.insert(VOTE, to_json(vote)).map(drop)
}

pub(crate) fn put_applied(batch: &mut sled::Batch, applied: &Applied) {
    batch.insert(APPLIED, to_json(applied));
}

pub(crate) fn put_record(batch: &mut sled::Batch, key: &[u8], record: Option<&Record>) {
    let key = [b"d", key].concat();
    match record {
        None => batch.remove(key),
        Some(record) => {
            let (created, modified) = (record.created.0.to_be_bytes(), record.modified.0.to_be_bytes());
            batch.insert(key, [&created[..], &modified[..], &record.value].concat());
        }
    }
}

/// Fills a new state tree, turns to it, and forgets the old one.
pub(crate) fn replace_state(
    db: &sled::Db,
    records: &Records,
    applied: &Applied,
) -> Result<sled::Tree, sled::Error> {
    let old = state_number(db)?;
    let new = old.unwrap_or(0) + 1;
    // A crash may have left half of it.
    db.drop_tree(state_name(new))?;
    let tree = db.open_tree(state_name(new))?;
    let mut batch = sled::Batch::default();
    for (n, (key, record)) in records.iter().enumerate() {
        put_record(&mut batch, key, Some(record));
        if n % SEED_BATCH == SEED_BATCH - 1 {
            tree.apply_batch(std::mem::take(&mut batch))?;
        }
    }
    put_applied(&mut batch, applied);
    tree.apply_batch(batch)?;
    db.insert(STATE, &new.to_be_bytes())?;
    if let Some(old) = old {
        db.drop_tree(state_name(old))?;
    }
    Ok(tree)
}

fn open_sled(path: &Path) -> Result<sled::Db, sled::Error> {
    remove_half_snapshots(path)?;
    // Flushing is `flush.rs`'s alone.
    sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()
}

/// sled writes its own snapshots as `snap.N.generating` before it renames them; one that a crash left behind makes it
/// refuse to open (sled#1527), and is of no use.
fn remove_half_snapshots(path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|e| e == "generating") {
            tracing::warn!(path = %file.display(), "removing a snapshot that sled did not finish");
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

fn state_number(db: &sled::Db) -> Result<Option<u64>, sled::Error> {
    let number = db.get(STATE)?;
    Ok(number.and_then(|bytes| bytes.as_ref().try_into().ok().map(u64::from_be_bytes)))
}

fn state_name(number: u64) -> String {
    format!("state-{number}")
}

fn open_state(db: &sled::Db) -> Result<sled::Tree, sled::Error> {
    match state_number(db)? {
        Some(number) => db.open_tree(state_name(number)),
        None => replace_state(db, &Records::new(), &Applied::default()),
    }
}

fn load_state(tree: &sled::Tree) -> Result<(Records, Applied), DatabaseError> {
    let mut records = Records::new();
    // Step by step, not by an iterator: sled evicts pages only after some accesses to each of its cache's shards, and a
    // plain scan, which touches a page once, would leave all of them in memory beside our copy.
    let mut last = sled::IVec::from(b"d");
    while let Some((key, bytes)) = tree.get_gt(&last)?.filter(|(key, _)| key.starts_with(b"d")) {
        let name: Box<[u8]> = key.get(1..).unwrap_or_default().into();
        Key::decode(&name).map_err(|_| DatabaseError::Damaged { what: "a key of the state" })?;
        let record = record(&bytes).ok_or(DatabaseError::Damaged { what: "a record of the state" })?;
        records.insert(name, record);
        last = key;
    }
    let applied = json(tree.get(APPLIED)?, "the state's position")?;
    Ok((records, applied.ok_or(DatabaseError::Damaged { what: "the state's position" })?))
}

fn record(bytes: &[u8]) -> Option<Record> {
    let (created, rest) = bytes.split_first_chunk::<8>()?;
    let (modified, value) = rest.split_first_chunk::<8>()?;
    let (created, modified) =
        (Revision(u64::from_be_bytes(*created)), Revision(u64::from_be_bytes(*modified)));
    Some(Record { created, modified, value: Arc::from(value) })
}

/// Reads every entry: the log has no hole and parses. Gives its last log id.
fn check_log(log: &sled::Tree, purged: Option<LogId>) -> Result<Option<LogId>, DatabaseError> {
    let mut last = purged;
    for entry in log.scan_prefix(b"l") {
        let (_, bytes) = entry?;
        let entry =
            codec::entry(&bytes).map_err(|_| DatabaseError::Damaged { what: "an entry of the log" })?;
        let found = entry.get_log_id().index;
        if purged.is_some_and(|purged| found <= purged.index) {
            continue;
        }
        let expected = last.map_or(0, |last| last.index + 1);
        if found != expected {
            return Err(DatabaseError::Hole { found, expected });
        }
        last = Some(*entry.get_log_id());
    }
    Ok(last)
}

fn json<T: serde::de::DeserializeOwned>(
    bytes: Option<sled::IVec>,
    what: &'static str,
) -> Result<Option<T>, DatabaseError> {
    bytes.map(|b| serde_json::from_slice(&b).map_err(|_| DatabaseError::Damaged { what })).transpose()
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // Numbers and maps with numbers as keys always serialize.
    serde_json::to_vec(value).unwrap_or_default()
}

thread_local! {
    static OPENING: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Runs `open`, leaving a file at `marker` if it panics: sled does so on some damage, and where a panic ends the process
/// only the next start can draw the conclusion.
pub(crate) fn noting_panics<T>(marker: &Path, open: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            OPENING.with(|opening| {
                if let Ok(opening) = opening.try_borrow()
                    && let Some(marker) = opening.as_ref()
                {
                    // Nothing can be done about a failure here; the panic itself is reported.
                    let _ = fs::write(marker, info.to_string());
                }
            });
            before(info);
        }));
    });
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            OPENING.with(|opening| *opening.borrow_mut() = None);
        }
    }
    OPENING.with(|opening| *opening.borrow_mut() = Some(marker.to_owned()));
    let _reset = Reset;
    open()
}
