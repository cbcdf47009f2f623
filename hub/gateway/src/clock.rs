//! Time for the sessions: the wall clock at the start, and from then on a clock that never goes back.

use std::time::{SystemTime, UNIX_EPOCH};

use gannet_protocols_model::Timestamp;
use tokio::time::Instant;

/// A clock that never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall: Timestamp,
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: Timestamp::default().plus(since_epoch), start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.wall.plus(self.start.elapsed())
    }

    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(self.wall)
    }
}
