//! What will happen, in order of virtual time; what was put in first comes first.

use std::collections::BTreeMap;

use crate::event::Event;

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<(u64, u64), Event>,
    count: u64,
}

impl Queue {
    /// Puts something in.
    pub fn push(&mut self, at: u64, event: impl Into<Event>) {
        self.count += 1;
        self.waiting.insert((at, self.count), event.into());
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next thing, with its time.
    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.waiting.pop_first().map(|((at, _), event)| (at, event))
    }
}
