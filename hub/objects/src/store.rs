//! The replicated store as [`Storage`].

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use gannet_hub_core::{Kind, ObjectKey};
use gannet_hub_store as store;

use crate::storage::{
    Committed, Compacted, Expect, Happened, Heard, Listening, Listing, Storage, StorageError, Stored, Write,
};

/// The replicated store, seen as objects.
#[derive(Debug)]
pub struct Replicated(pub Arc<store::Store>);

fn key_of(kind: &Kind, key: &ObjectKey) -> store::Key {
    store::Key::new(kind.resource(), key.namespace.as_str(), key.name.as_str())
}

fn from_store(stored: store::Stored) -> Stored {
    let key = ObjectKey { namespace: stored.key.namespace, name: stored.key.name };
    Stored { key, value: stored.value, revision: stored.modified.0 }
}

impl Storage for Replicated {
    fn get(&self, kind: &'static Kind, key: &ObjectKey) -> Result<Option<Stored>, StorageError> {
        Ok(self.0.get(&key_of(kind, key)).map(from_store))
    }

    fn list(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Listing, StorageError> {
        let range = match namespace {
            Some(namespace) => store::Range::within(kind.resource(), namespace),
            None => store::Range::of(kind.resource()),
        };
        let page = self.0.list(&range.page(after.map(|key| key_of(kind, key)), Some(limit)));
        Ok(Listing {
            items: page.items.into_iter().map(from_store).collect(),
            revision: page.revision.0,
            remaining: page.remaining,
        })
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Committed, StorageError>> {
        let key = key_of(write.kind, &write.key);
        let expect = match write.expect {
            Expect::Absent => store::Expect::Absent,
            Expect::At(revision) => store::Expect::At(store::Revision(revision)),
        };
        let op = match write.value {
            Some(value) => store::Op::Put { key, value, expect },
            None => store::Op::Delete { key, expect },
        };
        async move {
            match self.0.commit(op.into()).await {
                Ok(store::Outcome::Committed { revision, .. }) => Ok(Committed::Done(revision.0)),
                Ok(store::Outcome::Conflict { .. }) => Ok(Committed::Conflict),
                Err(error @ store::CommitError::Invalid(_)) => Err(StorageError::Refused(Box::new(error))),
                Err(error) => Err(StorageError::Unavailable(Box::new(error))),
            }
        }
        .boxed()
    }

    fn watch(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Listening>, Compacted> {
        let resource = kind.resource();
        match self.0.watch(Some(&resource), namespace, store::Revision(from)) {
            Ok(watch) => Ok(Box::new(Following(watch))),
            Err(gone) => Err(Compacted { asked: from, oldest: gone.oldest.0 }),
        }
    }

    fn revision(&self) -> u64 {
        self.0.revision().0
    }
}

struct Following(store::Watch);

impl Listening for Following {
    fn next(&mut self) -> BoxFuture<'_, Heard> {
        async move {
            match self.0.next().await {
                Ok(event) => Heard::Change(happened(event)),
                Err(store::WatchError::Gone(_)) => Heard::Gone,
                Err(store::WatchError::Closed) => Heard::Closed,
            }
        }
        .boxed()
    }

    fn progress(&self) -> u64 {
        self.0.progress().0
    }
}

fn happened(event: store::Event) -> Happened {
    let key = ObjectKey { namespace: event.key.namespace, name: event.key.name };
    let (value, previous) = match event.kind {
        store::EventKind::Put { value, previous, .. } => (Some(value), previous),
        store::EventKind::Delete { previous } => (None, Some(previous)),
    };
    Happened { key, revision: event.revision.0, value, previous }
}
