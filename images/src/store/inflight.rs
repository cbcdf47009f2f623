//! What pulls are working on: one layer is fetched once however many pods want it, and is not collected meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gannet_protocols_model::Digest;

#[derive(Debug, Default)]
struct Slot {
    pins: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// Digests in use by pulls under way.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    slots: Mutex<BTreeMap<Digest, Slot>>,
}

/// Keeps digests from being collected while it lives.
#[derive(Debug)]
pub(crate) struct Pin {
    inflight: Arc<InFlight>,
    digests: Vec<Digest>,
}

impl InFlight {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<Digest, Slot>> {
        // Each change of the map is one call, so a panic elsewhere cannot leave it half done.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins these digests.
    pub(crate) fn pin(self: &Arc<Self>, digests: impl IntoIterator<Item = Digest>) -> Pin {
        let digests: Vec<Digest> = digests.into_iter().collect();
        let mut slots = self.slots();
        for digest in &digests {
            slots.entry(*digest).or_default().pins += 1;
        }
        drop(slots);
        Pin { inflight: Arc::clone(self), digests }
    }

    /// The lock under which this digest is fetched. Pin it first.
    pub(crate) fn turn(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        self.slots().get(digest).map(|slot| Arc::clone(&slot.turn)).unwrap_or_default()
    }

    /// Runs `remove` unless the digest is pinned; it cannot become pinned meanwhile.
    pub(crate) fn unless_pinned<T>(&self, digest: &Digest, remove: impl FnOnce() -> T) -> Option<T> {
        let slots = self.slots();
        if slots.contains_key(digest) {
            return None;
        }
        let result = remove();
        drop(slots);
        Some(result)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut slots = self.inflight.slots();
        for digest in &self.digests {
            if let Some(slot) = slots.get_mut(digest) {
                slot.pins -= 1;
                if slot.pins == 0 {
                    slots.remove(digest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_count() {
        let inflight = Arc::new(InFlight::default());
        let digest = Digest::of(b"x");
        let first = inflight.pin([digest]);
        let second = inflight.pin([digest]);
        assert!(Arc::ptr_eq(&inflight.turn(&digest), &inflight.turn(&digest)));
        drop(first);
        assert_eq!(inflight.unless_pinned(&digest, || ()), None);
        drop(second);
        assert_eq!(inflight.unless_pinned(&digest, || ()), Some(()));
    }
}
