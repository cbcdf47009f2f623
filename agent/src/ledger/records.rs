//! The small things: what is remembered of pods, the count of starts, the newest time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gannet_agent_core::PodRecord;
use gannet_protocols_model::{PodUid, Session, Timestamp};
use tracing::warn;

use super::files::{Files, LedgerError, read};

/// Records of [`gannet_protocols_model::MAX_PODS`] pods with several containers fit.
pub(super) const MAX_RECORDS_BYTES: u64 = 16 << 20;
const MAX_NUMBER_BYTES: u64 = 64;

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
        match read(&self.path, MAX_RECORDS_BYTES) {
            Ok(Some(bytes)) => Self::parse(&bytes),
            Ok(None) => PodRecords::new(),
            Err(error) => {
                warn!(?error, "records of pods cannot be read");
                PodRecords::new()
            }
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> PodRecords {
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            warn!(%error, "records of pods do not parse");
            PodRecords::new()
        })
    }

    pub(crate) fn save(&self, records: &PodRecords) -> Result<(), LedgerError> {
        self.files.replace(&self.path, &Self::to_bytes(records))
    }

    pub(crate) fn to_bytes(records: &PodRecords) -> Vec<u8> {
        // Maps with string keys always serialize.
        serde_json::to_vec(records).unwrap_or_default()
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

    /// The number of this start: one more than the last. A ledger that lost its count goes on from the clock, in
    /// seconds, which is beyond any count of starts.
    pub(crate) fn next_session(&self, now: Timestamp) -> Result<Session, LedgerError> {
        let next = match number(&self.session) {
            Some(last) => last.saturating_add(1),
            None => now.millis() / 1000,
        };
        self.files.replace(&self.session, next.to_string().as_bytes())?;
        Ok(Session(next))
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
        self.files.replace(&self.time, now.millis().to_string().as_bytes())
    }
}

fn number(path: &Path) -> Option<u64> {
    let bytes = read(path, MAX_NUMBER_BYTES).ok().flatten()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}
