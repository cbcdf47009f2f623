//! What a program printed, compared with what it should have.

use anyhow::ensure;

/// Looks that all parts are there; shows the whole where one is not.
pub fn contains(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    Ok(())
}

/// Columns without the blanks between them.
#[must_use]
pub fn squeezed(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}
