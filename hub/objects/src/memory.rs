//! Storage in memory, for tests: the whole history is kept, nothing is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use gannet_hub_core::{Kind, ObjectKey};
use tokio::sync::watch;

use crate::storage::{
    Committed, Compacted, Expect, Happened, Heard, Listening, Listing, Storage, StorageError, Stored, Write,
};

/// Objects in memory.
#[derive(Debug)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
    bell: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<(String, ObjectKey), Stored>,
    history: Vec<(&'static str, Happened)>,
    revision: u64,
    /// Revisions up to this one are forgotten.
    floor: u64,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self { state: Arc::default(), bell: watch::channel(0).0 }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryStorage {
    /// Forgets all history, as a store does with old revisions.
    pub fn compact(&self) {
        let mut state = lock(&self.state);
        state.floor = state.revision;
    }
}

impl Storage for MemoryStorage {
    fn get(&self, kind: &'static Kind, key: &ObjectKey) -> Result<Option<Stored>, StorageError> {
        Ok(lock(&self.state).objects.get(&(kind.resource(), key.clone())).cloned())
    }

    fn list(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Listing, StorageError> {
        let state = lock(&self.state);
        let resource = kind.resource();
        let mut found = state
            .objects
            .iter()
            .filter(|((r, key), _)| {
                *r == resource
                    && namespace.is_none_or(|n| n == key.namespace)
                    && after.is_none_or(|a| key > a)
            })
            .map(|(_, stored)| stored.clone());
        let items: Vec<Stored> = found.by_ref().take(limit).collect();
        Ok(Listing { items, revision: state.revision, remaining: found.count() })
    }

    fn commit(&self, write: Write) -> BoxFuture<'_, Result<Committed, StorageError>> {
        let mut state = lock(&self.state);
        let at = (write.kind.resource(), write.key.clone());
        let found = state.objects.get(&at).cloned();
        let holds = match write.expect {
            Expect::Absent => found.is_none(),
            Expect::At(revision) => found.as_ref().is_some_and(|f| f.revision == revision),
        };
        if !holds {
            return std::future::ready(Ok(Committed::Conflict)).boxed();
        }
        state.revision += 1;
        let revision = state.revision;
        let value: Option<Arc<[u8]>> = write.value.map(Into::into);
        match &value {
            Some(value) => {
                state.objects.insert(at, Stored { key: write.key.clone(), value: value.clone(), revision });
            }
            None => {
                state.objects.remove(&at);
            }
        }
        let previous = found.map(|f| f.value);
        state.history.push((write.kind.plural, Happened { key: write.key, revision, value, previous }));
        drop(state);
        self.bell.send_replace(revision);
        std::future::ready(Ok(Committed::Done(revision))).boxed()
    }

    fn watch(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        from: u64,
    ) -> Result<Box<dyn Listening>, Compacted> {
        let state = lock(&self.state);
        if from < state.floor {
            return Err(Compacted { asked: from, oldest: state.floor });
        }
        let namespace = namespace.map(str::to_owned);
        let bell = self.bell.subscribe();
        Ok(Box::new(Following {
            state: self.state.clone(),
            bell,
            plural: kind.plural,
            namespace,
            progress: from,
        }))
    }

    fn revision(&self) -> u64 {
        lock(&self.state).revision
    }
}

struct Following {
    state: Arc<Mutex<State>>,
    bell: watch::Receiver<u64>,
    plural: &'static str,
    namespace: Option<String>,
    progress: u64,
}

impl Following {
    fn ready(&mut self) -> Option<Happened> {
        let state = lock(&self.state);
        let found = state
            .history
            .iter()
            .filter(|(plural, h)| *plural == self.plural && h.revision > self.progress)
            .find(|(_, h)| self.namespace.as_ref().is_none_or(|n| *n == h.key.namespace))
            .map(|(_, h)| h.clone());
        self.progress = found.as_ref().map_or(state.revision, |h| h.revision);
        found
    }
}

impl Listening for Following {
    fn next(&mut self) -> BoxFuture<'_, Heard> {
        async move {
            loop {
                self.bell.borrow_and_update();
                if let Some(happened) = self.ready() {
                    return Heard::Change(happened);
                }
                if self.bell.changed().await.is_err() {
                    return Heard::Closed;
                }
            }
        }
        .boxed()
    }

    fn progress(&self) -> u64 {
        self.progress
    }
}
