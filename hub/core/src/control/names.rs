//! Where names and uids come from: a parameter, so that decisions can be replayed.

use std::fmt::Write as _;

/// A source of what must be unlike anything before.
pub trait Names {
    /// A new uid: a version 4 UUID.
    fn uid(&mut self) -> String;
    /// Five characters for the end of a generated name, without vowels or what looks alike.
    fn suffix(&mut self) -> String;
}

/// Kubernetes' alphabet for generated names: nothing that spells a word or is misread.
pub(crate) const SAFE_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Names from a seed (SplitMix64). The hub seeds it anew with 128 random bits at each start, tests with a constant.
#[derive(Debug, Clone)]
pub struct SeededNames {
    a: u64,
    b: u64,
}

impl SeededNames {
    /// The names that follow from this seed.
    pub fn new(seed: u128) -> Self {
        let low = u64::try_from(seed & u128::from(u64::MAX)).unwrap_or_default();
        Self { a: low, b: u64::try_from(seed >> 64).unwrap_or_default() }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Names for SeededNames {
    fn uid(&mut self) -> String {
        let high = (split_mix(&mut self.a) & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (split_mix(&mut self.b) & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        let mut text = String::with_capacity(36);
        // Writing to a String cannot fail.
        let _ = write!(text, "{:08x}-{:04x}-{:04x}-", high >> 32, (high >> 16) & 0xffff, high & 0xffff);
        let _ = write!(text, "{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff);
        text
    }

    fn suffix(&mut self) -> String {
        let mut rest = split_mix(&mut self.a) ^ self.b;
        let mut text = String::with_capacity(5);
        for _ in 0..5 {
            let at = usize::try_from(rest % 27).unwrap_or_default();
            text.push(char::from(SAFE_ALPHABET[at]));
            rest /= 27;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_uuids_and_differ() {
        let mut names = SeededNames::new(7);
        let (a, b) = (names.uid(), names.uid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
        assert!("89ab".contains(&a[19..20]), "{a}");
        assert_ne!(SeededNames::new(7).uid(), SeededNames::new(7 << 64).uid());
    }

    #[test]
    fn suffixes_are_five_safe_characters() {
        let mut names = SeededNames::new(1);
        for _ in 0..100 {
            let suffix = names.suffix();
            assert!(suffix.len() == 5 && suffix.bytes().all(|b| SAFE_ALPHABET.contains(&b)), "{suffix}");
        }
    }
}
