//! The small things: what is remembered of pods, the count of starts, the newest time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gannet_agent_core::{PodRecord, RollbackMemory};
use gannet_protocols_model::{PodUid, Session, Timestamp};
use tracing::warn;

use super::files::{Files, LedgerError, read};
use super::seal::{read_sealed, unseal, write_sealed};

/// Records of [`gannet_protocols_model::MAX_PODS`] pods with several containers fit.
pub(super) const MAX_RECORDS_BYTES: u64 = 16 << 20;
const MAX_NUMBER_BYTES: u64 = 256;

/// What is remembered of pods.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    files: Files,
}

pub(crate) type PodRecords = BTreeMap<PodUid, PodRecord>;

impl Records {
    pub(super) fn new(ledger: &Path, files: Files) -> Self {
        Self { path: ledger.join("pods.json"), files }
    }

    /// The records; none where the file is damaged, since pods then merely start afresh.
    pub(crate) fn load(&self) -> PodRecords {
        read_sealed(&self.path, MAX_RECORDS_BYTES).map_or_else(PodRecords::new, |bytes| parse(&bytes))
    }

    /// The records in a file's bytes.
    pub(crate) fn parse(sealed: &[u8]) -> PodRecords {
        unseal(sealed).map_or_else(PodRecords::new, parse)
    }

    pub(crate) fn save(&self, records: &PodRecords) -> Result<(), LedgerError> {
        // Maps with string keys always serialize.
        write_sealed(&self.files, &self.path, &serde_json::to_vec(records).unwrap_or_default())
    }
}

fn parse(bytes: &[u8]) -> PodRecords {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        warn!(%error, "records of pods do not parse");
        PodRecords::new()
    })
}

/// Which manifests were healthy and which failed.
#[derive(Debug)]
pub(crate) struct Rollbacks {
    path: PathBuf,
    files: Files,
}

impl Rollbacks {
    pub(super) fn new(ledger: &Path, files: Files) -> Self {
        Self { path: ledger.join("rollback.json"), files }
    }

    /// What is remembered; nothing where the file is damaged: what runs then has to show itself anew.
    pub(crate) fn load(&self) -> RollbackMemory {
        let parse = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes)
                .map_err(|error| warn!(%error, "rollback memory does not parse"))
                .ok()
        };
        read_sealed(&self.path, MAX_RECORDS_BYTES).and_then(parse).unwrap_or_default()
    }

    pub(crate) fn save(&self, memory: &RollbackMemory) -> Result<(), LedgerError> {
        // Maps with string keys always serialize.
        write_sealed(&self.files, &self.path, &serde_json::to_vec(memory).unwrap_or_default())
    }
}

/// The count of starts and the newest time.
#[derive(Debug)]
pub(crate) struct Numbers {
    session: PathBuf,
    time: PathBuf,
    files: Files,
}

impl Numbers {
    pub(super) fn new(ledger: &Path, files: Files) -> Self {
        Self { session: ledger.join("session"), time: ledger.join("time"), files }
    }

    /// The number of this start: more than the last, and never less than the seconds of the clock, so that it grows also
    /// where the count was lost, or where the disk does not take it.
    pub(crate) fn next_session(&self, now: Timestamp) -> Session {
        let next = number(&self.session).map_or(0, |last| last.saturating_add(1)).max(now.millis() / 1000);
        if let Err(error) = write_sealed(&self.files, &self.session, next.to_string().as_bytes()) {
            warn!(?error, "this start is not counted");
        }
        Session(next)
    }

    /// The newest time that the ledger saw.
    pub(crate) fn time_floor(&self) -> Timestamp {
        Timestamp::from_millis(number(&self.time).unwrap_or(0))
    }

    /// Notes the time, where it is newer.
    pub(crate) fn raise_time(&self, now: Timestamp) -> Result<(), LedgerError> {
        if now <= self.time_floor() {
            return Ok(());
        }
        write_sealed(&self.files, &self.time, now.millis().to_string().as_bytes())
    }
}

fn number(path: &Path) -> Option<u64> {
    parse_number(&read_sealed(path, MAX_NUMBER_BYTES)?)
}

fn parse_number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// The newest time that a ledger saw, for one that does not open it.
pub(crate) fn read_time(ledger: &Path) -> Option<Timestamp> {
    let sealed = read(&ledger.join("time"), MAX_NUMBER_BYTES).ok().flatten()?;
    unseal(&sealed).and_then(parse_number).map(Timestamp::from_millis)
}
