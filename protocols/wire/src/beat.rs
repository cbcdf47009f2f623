//! Liveness in at most 32 bytes: `[sequence,generation,"hash"]`.

use gannet_protocols_model::Generation;
use serde::{Deserialize, Serialize};

/// The largest beat.
pub const MAX_BEAT_BYTES: usize = 32;

/// A beat. As JSON an array: names would be most of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat(
    /// Counts the beats of a session, and wraps at 100,000 to stay short.
    pub u32,
    /// The generation that the node works towards.
    pub Generation,
    /// [`gannet_protocols_model::state_hash`] of what the node observes.
    pub String,
);

impl Beat {
    /// The sequence number after this one.
    pub fn next_sequence(sequence: u32) -> u32 {
        (sequence + 1) % 100_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_is_small() {
        let beat = Beat(99_999, Generation(999_999_999_999), "0123abcd".into());
        let bytes = crate::encode(&beat);
        assert!(bytes.len() <= MAX_BEAT_BYTES, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(crate::decode::<Beat>(&bytes).unwrap(), beat);
    }
}
