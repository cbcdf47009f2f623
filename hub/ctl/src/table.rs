//! Prints the hub's Tables (meta.k8s.io/v1) as kubectl does: columns aligned by three spaces, wide ones on demand.

use std::io::Write;

use serde_json::Value;

use crate::status::printable;

/// How a table is printed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// Also columns of lower priority.
    pub(crate) wide: bool,
    /// The namespace as the first column.
    pub(crate) namespaces: bool,
    /// Without the line of names.
    pub(crate) headless: bool,
}

/// The cells to print: names first, then rows. `kind` goes before each name, where several kinds are shown.
pub(crate) fn cells(table: &Value, style: Style, kind: Option<&str>) -> Vec<Vec<String>> {
    let columns = table["columnDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<usize> = (0..columns.len())
        .filter(|i| style.wide || columns[*i]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let mut lines = Vec::new();
    if !style.headless {
        let names = shown.iter().map(|i| columns[*i]["name"].as_str().unwrap_or_default().to_uppercase());
        let first = style.namespaces.then(|| "NAMESPACE".to_owned());
        lines.push(first.into_iter().chain(names).collect());
    }
    for row in table["rows"].as_array().into_iter().flatten() {
        let first =
            style.namespaces.then(|| crate::resource::text(row, "/object/metadata/namespace").to_owned());
        let cells = shown.iter().map(|i| {
            let text = match &row["cells"][*i] {
                Value::String(text) => one_line(text),
                Value::Null => "<none>".to_owned(),
                other => other.to_string(),
            };
            match kind.filter(|_| *i == 0) {
                Some(kind) => format!("{kind}/{text}"),
                None => text,
            }
        });
        lines.push(first.into_iter().chain(cells).collect());
    }
    lines
}

/// A cell is one line; what follows is told by dots.
fn one_line(text: &str) -> String {
    match text.split_once('\n') {
        Some((first, _)) => printable(first) + "...",
        None => printable(text),
    }
}

/// Prints lines of cells, every column as wide as its widest cell and at least as `widths` says. Returns the widths.
pub(crate) fn print(
    lines: &[Vec<String>],
    widths: &[usize],
    out: &mut dyn Write,
) -> std::io::Result<Vec<usize>> {
    let mut widths = widths.to_vec();
    for line in lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in lines {
        let last = line.len().saturating_sub(1);
        for (i, cell) in line.iter().enumerate() {
            if i == last {
                writeln!(out, "{cell}")?;
            } else {
                write!(out, "{cell:<width$}   ", width = widths[i])?;
            }
        }
    }
    Ok(widths)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(style: Style, kind: Option<&str>, expect: &str) {
        let table = json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Ready", "priority": 0}, {"name": "IP", "priority": 1}],
            "rows": [{"cells": ["web-1", "1/1", "10.42.0.2"], "object": {"metadata": {"namespace": "shop"}}},
                     {"cells": ["w", 0, null], "object": {"metadata": {"namespace": "s"}}}]});
        let mut out = Vec::new();
        print(&cells(&table, style, kind), &[], &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn tables() {
        check(Style::default(), None, "NAME    READY\nweb-1   1/1\nw       0\n");
        check(
            Style { wide: true, ..Style::default() },
            None,
            "NAME    READY   IP\nweb-1   1/1     10.42.0.2\nw       0       <none>\n",
        );
        check(
            Style { namespaces: true, headless: true, ..Style::default() },
            Some("pod"),
            "shop   pod/web-1   1/1\ns      pod/w       0\n",
        );
    }
}
