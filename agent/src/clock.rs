//! The agent's time: never runs backwards, and never starts before the newest time that the ledger saw.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gannet_protocols_model::Timestamp;

/// How far the wall clock must be ahead before it is believed anew: a time server has set it.
const JUMP: Duration = Duration::from_secs(1);

/// A clock; clones agree with each other.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    anchor: Arc<Mutex<(Instant, Timestamp)>>,
}

/// What the system's clock says.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start(floor: Timestamp) -> Self {
        Self { anchor: Arc::new(Mutex::new((Instant::now(), wall().max(floor)))) }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let here = Instant::now();
        let now = anchor.1.plus(here.duration_since(anchor.0));
        let wall = wall();
        if wall > now.plus(JUMP) {
            *anchor = (here, wall);
            return wall;
        }
        now
    }

    /// When this time comes, for timers.
    pub(crate) fn instant_of(&self, at: Timestamp) -> tokio::time::Instant {
        tokio::time::Instant::now() + at.since(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_a_floor_and_goes_on_from_it() {
        let floor = wall().plus(Duration::from_secs(3600));
        let clock = Clock::start(floor);
        let first = clock.now();
        assert!(first >= floor && clock.now() >= first);
        assert!(Clock::start(Timestamp::default()).now() < floor);
    }
}
