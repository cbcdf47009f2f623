//! Wall-clock time as a number: milliseconds since 1970-01-01T00:00:00Z. Who needs "now" is given it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC. Written as RFC 3339 with seconds, as Kubernetes does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// Why a string is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time {value:?} is not RFC 3339, as in 2026-01-31T12:00:00Z")]
pub struct TimestampError {
    value: String,
}

impl Timestamp {
    /// This many milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds after the epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The time since `earlier`; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time and a while more.
    #[must_use]
    pub fn plus(self, while_: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(while_.as_millis()).unwrap_or(u64::MAX)))
    }

    /// RFC 3339 with nine digits of a second, as container logs have it (CRI log format).
    pub fn to_rfc3339_nanos(self) -> String {
        let jiff = self.to_jiff();
        format!("{jiff:.9}")
    }

    fn to_jiff(self) -> jiff::Timestamp {
        i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .unwrap_or(jiff::Timestamp::MAX)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.to_jiff())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(s: &str) -> Result<Self, TimestampError> {
        let wrong = || TimestampError { value: s.chars().take(100).collect() };
        let at: jiff::Timestamp = s.parse().map_err(|_| wrong())?;
        u64::try_from(at.as_millisecond()).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        u64::deserialize(d).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(at.millis(), 1_769_860_800_000);
        assert_eq!(at.to_string(), "2026-01-31T12:00:00Z");
        assert_eq!(at.plus(Duration::from_millis(5)).to_rfc3339_nanos(), "2026-01-31T12:00:00.005000000Z");
        assert_eq!(at.since(at.plus(Duration::from_secs(1))), Duration::ZERO);
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("1969-12-31T00:00:00Z".parse::<Timestamp>().is_err());
    }
}
