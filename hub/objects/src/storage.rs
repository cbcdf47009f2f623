//! What this crate needs of the store.

use std::sync::Arc;

use futures::future::BoxFuture;
use gannet_hub_core::{Kind, ObjectKey};

/// An object as stored: without `metadata.resourceVersion`, which is its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its namespace and name.
    pub key: ObjectKey,
    /// JSON.
    pub value: Arc<[u8]>,
    /// The revision that wrote it.
    pub revision: u64,
}

/// Objects in order of namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// At most as many as were asked for.
    pub items: Vec<Stored>,
    /// The revision of the store as it was read.
    pub revision: u64,
    /// How many more there are behind them.
    pub remaining: usize,
}

/// What must be true of an object for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is none.
    Absent,
    /// This revision wrote it.
    At(u64),
}

/// A write of one object: a new value, or its removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its kind.
    pub kind: &'static Kind,
    /// Which object.
    pub key: ObjectKey,
    /// The new value; none to remove it.
    pub value: Option<Vec<u8>>,
    /// Under this condition.
    pub expect: Expect,
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is durable, at this revision.
    Done(u64),
    /// The condition did not hold; nothing was written.
    Conflict,
}

/// One change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// Which object.
    pub key: ObjectKey,
    /// The revision of the change.
    pub revision: u64,
    /// The object now; none when it was removed.
    pub value: Option<Arc<[u8]>>,
    /// The object before; none when it is new.
    pub previous: Option<Arc<[u8]>>,
}

/// What a watch hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A change.
    Change(Happened),
    /// The listener fell behind; it has to list again. Nothing follows.
    Gone,
    /// The store is closing. Nothing follows.
    Closed,
}

/// Changes of one kind, in order.
pub trait Listening: Send {
    /// The next change. May be dropped while it waits; nothing is lost.
    fn next(&mut self) -> BoxFuture<'_, Heard>;

    /// Every change up to this revision has been given.
    fn progress(&self) -> u64;
}

/// The history from that revision on is not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is too old, the oldest that can be watched is {oldest}")]
pub struct Compacted {
    /// The revision asked for.
    pub asked: u64,
    /// The oldest that there is.
    pub oldest: u64,
}

/// Why storage could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another hub leads, or none does.
    #[error("the store takes no writes now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The write is against the store's own bounds.
    #[error("the store refuses the object")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading or writing failed.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Objects by kind, namespace and name, with one global revision.
pub trait Storage: Send + Sync + std::fmt::Debug + 'static {
    /// One object.
    fn get(&self, kind: &'static Kind, key: &ObjectKey) -> Result<Option<Stored>, StorageError>;

    /// Up to `limit` objects of a kind behind `after`, of one namespace or of all.
    fn list(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Listing, StorageError>;

    /// Writes one object, durably.
    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Committed, StorageError>>;

    /// Every change after the revision `from`, in order.
    fn watch(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Listening>, Compacted>;

    /// The revision of the last write.
    fn revision(&self) -> u64;
}
