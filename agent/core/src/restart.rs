//! When an ended container is started again: Kubernetes' policy and its crash back-off.

use std::time::Duration;

use gannet_protocols_model::{RestartPolicy, Timestamp};
use serde::{Deserialize, Serialize};

/// The first wait; it doubles with each crash. Kubernetes' number, which people know.
const FIRST_SECONDS: u32 = 10;
/// The longest wait.
const MAX_SECONDS: u32 = 300;
/// A container that ran this long is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// How long to wait before the next try of something that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Seconds from the failure to the next try.
    pub seconds: u32,
    /// When the wait was last made longer.
    pub since: Timestamp,
}

impl Backoff {
    /// The wait after one more failure: `previous` is the wait before it, `failed` when it failed, `now` when the next
    /// try began (or when the failure was noted, where a failure is known only from the try itself).
    #[must_use]
    pub fn after(previous: Option<Self>, failed: Timestamp, now: Timestamp) -> Self {
        match previous {
            Some(b) if failed.since(b.since) <= FORGIVEN_AFTER => {
                Self { seconds: b.seconds.saturating_mul(2).clamp(FIRST_SECONDS, MAX_SECONDS), since: now }
            }
            _ => Self { seconds: FIRST_SECONDS, since: now },
        }
    }

    /// When the next try may begin; `None` is now. A clock that moved back never makes the wait longer.
    pub fn until(self, failed: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let wait = Duration::from_secs(u64::from(self.seconds));
        let until = failed.plus(wait);
        let forgiven = failed.since(self.since) > FORGIVEN_AFTER;
        (!forgiven && until > now && until.since(now) <= wait).then_some(until)
    }
}

/// Whether a container that ended with this code is started again.
pub(crate) fn restarts(policy: RestartPolicy, exit_code: i32) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => exit_code != 0,
        RestartPolicy::Never => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_are_forgiven_after_ten() {
        let at = |s: u64| Timestamp::from_millis(1_000_000 + s * 1000);
        let mut backoff = None;
        let mut now = 0;
        let mut seen = Vec::new();
        for _ in 0..7 {
            // The container fails one second after its start.
            let failed = at(now + 1);
            let until = backoff.and_then(|b: Backoff| b.until(failed, failed));
            now = until.map_or(now + 1, |u: Timestamp| u.since(at(0)).as_secs());
            seen.push(now);
            backoff = Some(Backoff::after(backoff, failed, at(now)));
        }
        assert_eq!(seen, [1, 12, 33, 74, 155, 316, 617]);
        let failed = at(now + 601);
        assert_eq!(backoff.and_then(|b| b.until(failed, failed)), None, "ran longer than ten minutes");
        assert_eq!(Backoff::after(backoff, failed, failed).seconds, 10);
    }

    #[test]
    fn a_clock_that_moves_back_does_not_make_it_wait() {
        let backoff = Backoff { seconds: 10, since: Timestamp::from_millis(5_000_000) };
        let failed = Timestamp::from_millis(5_001_000);
        assert_eq!(backoff.until(failed, Timestamp::from_millis(1_000)), None);
        assert!(backoff.until(failed, failed).is_some());
    }
}
