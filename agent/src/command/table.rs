//! Text as kubectl has it: columns, ages, sizes.

use gannet_protocols_model::{PodStatus, Timestamp};

/// Rows under each other; the last cell of a row is not padded.
pub(super) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.as_ref().iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.as_ref().iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// By namespace and name.
pub(super) fn sorted(pods: &[PodStatus]) -> Vec<&PodStatus> {
    let mut sorted: Vec<&PodStatus> = pods.iter().collect();
    sorted.sort_by_key(|pod| (&pod.namespace, &pod.name));
    sorted
}

/// How long ago, as kubectl shortens it.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    age(now.since(at).as_secs())
}

/// As kubectl shortens it.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if !seconds.is_multiple_of(60) => format!("{}m{}s", seconds / 60, seconds % 60),
        120..10_800 => format!("{}m", seconds / 60),
        10_800..28_800 if seconds % 3600 >= 60 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes in whole mebibytes, as `kubectl top` has them.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes >> 20)
}

/// Bytes as a quantity: with the largest suffix that leaves a whole number.
pub(super) fn quantity(bytes: u64) -> String {
    for (shift, suffix) in [(30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{suffix}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, text) in [
            (5, "5s"),
            (119, "119s"),
            (125, "2m5s"),
            (3600, "60m"),
            (11_000, "3h3m"),
            (86_400, "24h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn sizes_and_columns() {
        for (bytes, text) in [(0, "0"), (1000, "1000"), (1536, "1536"), (64 << 20, "64Mi"), (3 << 30, "3Gi")]
        {
            assert_eq!(quantity(bytes), text);
        }
        assert_eq!(mebibytes((7 << 20) + 5), "7Mi");
        let rows = [vec!["A".to_owned(), "B".into()], vec!["long".into(), String::new()]];
        assert_eq!(columns(&rows), "A      B\nlong\n");
    }
}
