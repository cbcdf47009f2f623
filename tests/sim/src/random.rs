//! Randomness from the seed: one stream a use, so that a change in one does not shift the others.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A stream of random choices.
#[derive(Debug)]
pub(crate) struct Random(StdRng);

impl Random {
    /// The stream of this seed with this name.
    pub(crate) fn new(seed: u64, stream: &str) -> Self {
        // FNV-1a: any mixing will do, as long as it never changes.
        let mixed = stream.bytes().fold(0xcbf2_9ce4_8422_2325_u64 ^ seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(StdRng::seed_from_u64(mixed))
    }

    /// True so many times in a thousand.
    pub(crate) fn chance(&mut self, permille: u32) -> bool {
        self.0.random_range(0..1000) < permille
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// One of these; `None` where there are none.
    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let last = from.len().checked_sub(1)?;
        from.get(self.0.random_range(0..=last)).cloned()
    }
}
