//! Watches: each reads the shared history at its own place, so a slow one costs nothing and a lost one is told so.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::history::Cursor;
use crate::state::State;
use crate::{Event, Gone, Revision};

/// The state and the bell that rings when it changes.
#[derive(Debug)]
pub(crate) struct Shared {
    state: RwLock<State>,
    bell: watch::Sender<Bell>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bell {
    closed: bool,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: RwLock::new(state), bell: watch::Sender::default() }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the watches; call without holding the state.
    pub(crate) fn ring(&self) {
        self.bell.send_modify(|_| {});
    }

    /// Ends the watches.
    pub(crate) fn close(&self) {
        self.bell.send_modify(|bell| bell.closed = true);
    }
}

/// Why a watch gives no more events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// It fell behind what history keeps, or a snapshot took the place of the state: list again.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The store was shut down.
    #[error("the store is shut down")]
    Closed,
}

/// Events of a kind and namespace after a revision, in order, none twice and none left out.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    bell: watch::Receiver<Bell>,
    kind: Option<String>,
    namespace: Option<String>,
    from: Revision,
    next: Cursor,
    progress: Revision,
}

impl Watch {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        kind: Option<&str>,
        namespace: Option<&str>,
        from: Revision,
    ) -> Result<Self, Gone> {
        let bell = shared.bell.subscribe();
        let state = shared.read();
        let next = state.history.cursor(from).ok_or_else(|| gone(&state, from))?;
        drop(state);
        let (kind, namespace) = (kind.map(str::to_owned), namespace.map(str::to_owned));
        Ok(Self { shared: shared.clone(), bell, kind, namespace, from, next, progress: from })
    }

    /// The next event. Can be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Result<Event, WatchError> {
        loop {
            let closed = self.bell.borrow_and_update().closed;
            if let Some(event) = self.ready()? {
                return Ok(event);
            }
            if closed || self.bell.changed().await.is_err() {
                return Err(WatchError::Closed);
            }
        }
    }

    /// The next event if it has happened already.
    pub fn try_next(&mut self) -> Result<Option<Event>, WatchError> {
        Ok(self.ready()?)
    }

    /// Every event of this watch up to this revision has been given: the revision for a bookmark.
    pub fn progress(&self) -> Revision {
        self.progress
    }

    fn ready(&mut self) -> Result<Option<Event>, Gone> {
        let state = self.shared.read();
        // A watch may be opened for a revision that is still to come.
        let wanted = |event: &Event| {
            event.revision > self.from
                && self.kind.as_ref().is_none_or(|kind| *kind == event.key.kind)
                && self.namespace.as_ref().is_none_or(|namespace| *namespace == event.key.namespace)
        };
        let found = match state.history.next(self.next, wanted) {
            Ok(found) => found,
            // What is gone may all have been seen, or be of no interest.
            Err(()) => {
                let again = state.history.cursor(self.progress).ok_or_else(|| gone(&state, self.progress))?;
                self.next = again;
                state.history.next(again, wanted).map_err(|()| gone(&state, self.progress))?
            }
        };
        match found {
            Some((event, next)) => {
                self.next = next;
                // Another event of the same revision may follow.
                self.progress = self.progress.max(Revision(event.revision.0.saturating_sub(1)));
                Ok(Some(event.clone()))
            }
            None => {
                self.next = state.history.end();
                self.progress = self.progress.max(state.revision);
                Ok(None)
            }
        }
    }
}

fn gone(state: &State, from: Revision) -> Gone {
    Gone { from, oldest: state.history.floor(), newest: state.revision }
}
