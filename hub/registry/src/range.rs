//! `Range: bytes=…` of one range: pure.

use std::ops::Range;

/// What part of `size` bytes a header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: no header, or one that may be ignored (several ranges, other units).
    Whole,
    /// These bytes.
    Some(Range<u64>),
    /// Bytes that are not there.
    Unsatisfiable,
}

pub(crate) fn parse(header: Option<&str>, size: u64) -> Part {
    let Some((start, end)) =
        header.and_then(|h| h.trim().strip_prefix("bytes=")).and_then(|r| r.split_once('-'))
    else {
        return Part::Whole;
    };
    let range = match (start.trim().parse::<u64>(), end.trim().parse::<u64>()) {
        (Ok(start), Ok(end)) if start <= end => start..end.saturating_add(1).min(size),
        (Ok(start), Err(_)) if end.trim().is_empty() => start..size,
        (Err(_), Ok(last)) if start.trim().is_empty() => size.saturating_sub(last)..size,
        _ => return Part::Whole,
    };
    if range.is_empty() { Part::Unsatisfiable } else { Part::Some(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (header, expect) in [
            (None, Part::Whole),
            (Some("bytes=0-"), Part::Some(0..10)),
            (Some("bytes=3-"), Part::Some(3..10)),
            (Some("bytes=3-5"), Part::Some(3..6)),
            (Some("bytes=3-99"), Part::Some(3..10)),
            (Some("bytes=-4"), Part::Some(6..10)),
            (Some("bytes=-99"), Part::Some(0..10)),
            (Some("bytes=10-"), Part::Unsatisfiable),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=0-18446744073709551615"), Part::Some(0..10)),
            (Some("bytes=5-3"), Part::Whole),
            (Some("bytes=0-1,3-4"), Part::Whole),
            (Some("items=0-1"), Part::Whole),
            (Some("bytes=x-"), Part::Whole),
        ] {
            assert_eq!(parse(header, 10), expect, "{header:?}");
        }
        assert_eq!(parse(Some("bytes=0-"), 0), Part::Unsatisfiable);
    }
}
