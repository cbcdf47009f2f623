//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// The mean of the first pause is half of this.
const BASE: Duration = Duration::from_millis(500);
/// No pause is longer. A fleet of 10,000 that lost its hub comes back at some 300 connections a second.
const CAP: Duration = Duration::from_secs(60);
/// A connection that lived for so long was a good one: the next failure starts from the beginning.
const GOOD: Duration = Duration::from_secs(60);

/// Full jitter: a random time between nothing and a bound that doubles with each failure, also where the connection
/// itself succeeded and was soon lost (otherwise a broker that accepts and then drops everybody is stormed).
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A connection that lived for `lived`, or an attempt (zero), has failed; `random` is any number.
    pub(crate) fn pause(&mut self, lived: Duration, random: u64) -> Duration {
        if lived >= GOOD {
            self.failures = 0;
        }
        let bound = BASE.saturating_mul(1 << self.failures.min(16)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random % (millis + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_start_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let largest = |backoff: &mut Backoff, lived| {
            let before = backoff.failures;
            let most = (0..=60_000).map(|random| {
                backoff.failures = before;
                backoff.pause(lived, random)
            });
            most.max().unwrap()
        };
        let bounds: Vec<u128> = (0..9).map(|_| largest(&mut backoff, Duration::ZERO).as_millis()).collect();
        assert_eq!(bounds, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(largest(&mut backoff, Duration::from_secs(59)), CAP, "soon lost");
        assert_eq!(largest(&mut backoff, GOOD), BASE);
        assert_eq!(backoff.pause(Duration::ZERO, 0), Duration::ZERO);
        backoff.failures = u32::MAX;
        assert!(backoff.pause(Duration::ZERO, u64::MAX) <= CAP);
    }
}
