//! The hub's replicated key-value store: openraft over sled, agnostic of kinds.
//!
//! In: transactions of puts and deletes, each with what it expects to find. Out: consistent reads, a global revision,
//! and watches. Invariants:
//! - A commit is acknowledged only after the log entry is flushed on a majority (`flush.rs` owns the only fsync on the
//!   write path); after that, reads and watches of this hub show it.
//! - A transaction happens as a whole or not at all, also after a power cut.
//! - The state machine (`state.rs`) is deterministic: no clock, no randomness, no hash order.
//! - Reads come from memory: keys in an ordered map, values shared with the history of watches. sled is what memory is
//!   loaded from, and holds the log. One hub is a cluster of one voter: there is no second code path.
//! - A sled that does not open is never deleted: it is moved aside, and the newest snapshot whose checksum is right takes
//!   its place. What was acknowledged after that snapshot is then lost on this hub (a majority of peers still has it).

#![forbid(unsafe_code)]

mod codec;
mod compaction;
mod config;
mod database;
mod flush;
mod history;
mod key;
mod leadership;
mod log_store;
mod machine;
mod network;
mod proposer;
mod raft;
mod recover;
mod snapshot_file;
mod snapshots;
mod state;
mod store;
mod transaction;
mod watch;
mod witness;

pub use config::{Admit, Config, Network, PeerTls, Start, Timing};
pub use history::Gone;
pub use key::{Key, KeyError};
pub use proposer::CommitError;
pub use recover::{OpenError, Recovery, Restored};
pub use state::{Page, Range, Stored};
pub use store::{MembershipError, Status, Store};
pub use transaction::{
    Event, EventKind, Expect, MAX_OPS, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Op, Outcome, Revision,
    Transaction, TransactionError,
};
pub use watch::{Watch, WatchError};
