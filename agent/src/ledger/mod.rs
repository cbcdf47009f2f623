//! The ledger: what the node must know to run its pods without a hub, on disk, as plain files.
//!
//! ```text
//! blobs/sha256/HEX      manifests, configuration, network documents, by content
//! desired.a, desired.b  signed desired documents: the newest that is authentic counts
//! pods.json             what is remembered of pods (see `PodRecord::durable`)
//! rollback.json         which manifests were healthy and which failed (see `RollbackMemory::durable`)
//! session               counts the starts of the agent
//! time                  the newest time that was ever seen, in milliseconds
//! ```
//!
//! The last four are followed by their digest. What is damaged is set aside as `*.bad` and counts as missing.
//!
//! Whatever moment the power goes, the next start finds the old or the new state. Flash is written only where something
//! changed, and every byte written is counted.

mod blobs;
mod files;
mod records;
mod seal;
mod slots;

pub(crate) use files::{LedgerError, Volatile};
pub(crate) use records::{Records, read_time};
pub(crate) use slots::{Kept, Ledger};

#[cfg(test)]
mod ledger_test;
