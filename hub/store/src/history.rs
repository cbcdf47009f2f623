//! The last events, bounded in number and bytes: what watches read from, each at its own place.

use std::collections::VecDeque;

use crate::{Event, EventKind, Revision};

/// Values kept alive only by history stay below this, however large the objects are.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The events after a revision are no longer kept (HTTP's 410): list again, and watch from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision {from} is too old: events are kept from {oldest} on, the store is at {newest}")]
pub struct Gone {
    /// The revision that was asked for.
    pub from: Revision,
    /// The oldest revision that can be watched from.
    pub oldest: Revision,
    /// The store's revision.
    pub newest: Revision,
}

/// The place of a watch: the number of the event that it takes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor(u64);

#[derive(Debug)]
pub(crate) struct History {
    events: VecDeque<Event>,
    bytes: usize,
    /// The number of the first event in `events`; numbers are never used twice.
    first: u64,
    /// Of the newest event that is not kept: watching from an earlier revision would miss it.
    floor: Revision,
    max_events: usize,
}

impl History {
    pub(crate) fn new(max_events: usize, floor: Revision) -> Self {
        Self { events: VecDeque::new(), bytes: 0, first: 0, floor, max_events }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += cost(&event);
        self.events.push_back(event);
        while self.events.len() > self.max_events || self.bytes > MAX_BYTES {
            let Some(dropped) = self.events.pop_front() else { break };
            self.bytes -= cost(&dropped);
            self.first += 1;
            self.floor = dropped.revision;
        }
    }

    /// Forgets everything, as after a snapshot took the place of the state: all watches have to list again.
    pub(crate) fn reset(&mut self, floor: Revision) {
        self.first = self.end().0 + 1;
        self.events.clear();
        self.bytes = 0;
        self.floor = floor;
    }

    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// The place of the first event after `from`, or none if such events are gone.
    pub(crate) fn cursor(&self, from: Revision) -> Option<Cursor> {
        (from >= self.floor).then(|| {
            let skip = self.events.partition_point(|event| event.revision <= from);
            Cursor(self.first + skip as u64)
        })
    }

    /// The place after the newest event.
    pub(crate) fn end(&self) -> Cursor {
        Cursor(self.first + self.events.len() as u64)
    }

    /// The first event at or after the cursor that is wanted, and the place behind it; none at the end. `Err` where the
    /// cursor's events are gone.
    pub(crate) fn next(
        &self,
        at: Cursor,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Option<(&Event, Cursor)>, ()> {
        let skip = at.0.checked_sub(self.first).ok_or(())?;
        let skip = usize::try_from(skip).map_err(|_| ())?;
        let found = self.events.iter().enumerate().skip(skip).find(|(_, event)| wanted(event));
        Ok(found.map(|(i, event)| (event, Cursor(self.first + i as u64 + 1))))
    }
}

fn cost(event: &Event) -> usize {
    let values = match &event.kind {
        EventKind::Put { value, previous, .. } => value.len() + previous.as_ref().map_or(0, |p| p.len()),
        EventKind::Delete { previous } => previous.len(),
    };
    values + event.key.kind.len() + event.key.namespace.len() + event.key.name.len() + size_of::<Event>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    fn event(revision: u64, bytes: usize) -> Event {
        let kind = EventKind::Delete { previous: vec![0; bytes].into() };
        Event { revision: Revision(revision), key: Key::new("pods", "default", "web"), kind }
    }

    fn read(history: &History, from: u64) -> Option<Vec<u64>> {
        let mut at = history.cursor(Revision(from))?;
        let mut seen = Vec::new();
        while let Some((event, next)) = history.next(at, |_| true).ok()? {
            seen.push(event.revision.0);
            at = next;
        }
        Some(seen)
    }

    #[test]
    fn bounded_and_honest_about_it() {
        let mut history = History::new(4, Revision(10));
        assert_eq!(read(&history, 9), None);
        assert_eq!(read(&history, 10), Some(vec![]));
        for revision in [11, 12, 12, 13] {
            history.push(event(revision, 1));
        }
        assert_eq!(read(&history, 10), Some(vec![11, 12, 12, 13]));
        assert_eq!(read(&history, 12), Some(vec![13]));
        assert_eq!(read(&history, 99), Some(vec![]));
        history.push(event(14, 1));
        history.push(event(15, 1));
        // Half of revision 12 is dropped: who has seen 11 alone would miss it.
        assert_eq!(read(&history, 11), None);
        assert_eq!(read(&history, 12), Some(vec![13, 14, 15]));
    }

    #[test]
    fn bounded_in_bytes() {
        let mut history = History::new(1000, Revision(0));
        for revision in 1..=40 {
            history.push(event(revision, 1024 * 1024));
        }
        assert!(history.bytes <= MAX_BYTES);
        assert_eq!(read(&history, 0), None);
        assert_eq!(read(&history, 39), Some(vec![40]));
    }

    #[test]
    fn a_reset_ends_watches_at_the_end_too() {
        let mut history = History::new(4, Revision(0));
        history.push(event(1, 1));
        let at = history.end();
        history.reset(Revision(7));
        assert!(history.next(at, |_| true).is_err());
        assert_eq!(read(&history, 6), None);
        assert_eq!(read(&history, 7), Some(vec![]));
    }
}
