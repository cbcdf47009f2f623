//! Headings and values in columns: within lines that follow each other, each column is as wide as its widest cell.

use std::io::Write;

use serde_json::Value;

use crate::status::printable;

/// Between columns.
const GAP: usize = 2;

/// The annotation that nobody wants to read.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The lines of a description.
#[derive(Debug, Default)]
pub(super) struct Page(Vec<Vec<String>>);

impl Page {
    /// A line of cells.
    pub(super) fn line<S: AsRef<str>>(&mut self, indent: usize, cells: &[S]) {
        let mut line: Vec<String> = cells.iter().map(|c| printable(c.as_ref()).replace('\n', " ")).collect();
        if let Some(first) = line.first_mut() {
            first.insert_str(0, &" ".repeat(indent));
        }
        self.0.push(line);
    }

    /// A heading alone.
    pub(super) fn heading(&mut self, indent: usize, name: &str) {
        self.line(indent, &[format!("{name}:")]);
    }

    /// `Name:  value`; a value of several lines goes on below.
    pub(super) fn field(&mut self, indent: usize, name: &str, value: impl AsRef<str>) {
        self.values(indent, name, value.as_ref().lines());
    }

    /// The same, where the value is not empty.
    pub(super) fn field_if(&mut self, indent: usize, name: &str, value: impl AsRef<str>) {
        if !value.as_ref().is_empty() {
            self.field(indent, name, value);
        }
    }

    /// A heading, and values below each other.
    pub(super) fn values<S: AsRef<str>>(
        &mut self,
        indent: usize,
        name: &str,
        values: impl IntoIterator<Item = S>,
    ) {
        let mut values = values.into_iter();
        let first = values.next();
        self.line(indent, &[format!("{name}:").as_str(), first.as_ref().map_or("", |v| v.as_ref())]);
        for value in values {
            self.line(indent, &["", value.as_ref()]);
        }
    }

    /// A heading, and values below each other or `<none>`.
    pub(super) fn values_or_none(&mut self, indent: usize, name: &str, values: Vec<String>) {
        if values.is_empty() {
            self.field(indent, name, "<none>");
        } else {
            self.values(indent, name, values);
        }
    }

    /// A map of texts, as labels.
    pub(super) fn map(&mut self, indent: usize, name: &str, map: &Value, between: &str) {
        let entries = map.as_object().into_iter().flatten().filter(|(key, _)| *key != LAST_APPLIED);
        let entries = entries.map(|(key, value)| format!("{key}{between}{}", shown(value)));
        self.values_or_none(indent, name, entries.collect());
    }

    /// Writes all.
    pub(super) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut widths = vec![Vec::new(); self.0.len()];
        layout(&self.0, 0..self.0.len(), 0, &mut widths);
        for (line, widths) in self.0.iter().zip(&widths) {
            let mut text = String::new();
            for (at, cell) in line.iter().enumerate() {
                text.push_str(cell);
                let blank = widths.get(at).map_or(0, |w| w.saturating_sub(cell.chars().count()));
                text.extend(std::iter::repeat_n(' ', blank));
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// The text of a value.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Widths of all but the last cell of each line. A column ends where a line lacks it, as in Go's `text/tabwriter`.
fn layout(lines: &[Vec<String>], range: std::ops::Range<usize>, column: usize, widths: &mut [Vec<usize>]) {
    let has = |at: usize| column + 1 < lines[at].len();
    let mut at = range.start;
    while at < range.end {
        if !has(at) {
            at += 1;
            continue;
        }
        let end = (at..range.end).find(|i| !has(*i)).unwrap_or(range.end);
        let width = lines[at..end].iter().map(|line| line[column].chars().count()).max().unwrap_or(0) + GAP;
        widths[at..end].iter_mut().for_each(|w| w.push(width));
        layout(lines, at..end, column + 1, widths);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_end_where_a_line_lacks_them() {
        let mut page = Page::default();
        page.field(0, "Name", "web");
        page.map(0, "Labels", &json!({"app": "web", "tier": "front"}), "=");
        page.map(0, "Annotations", &json!({LAST_APPLIED: "{}"}), ": ");
        page.heading(0, "Containers");
        page.field(2, "Image", "a:1");
        page.field(2, "Message", "one\ntwo\u{7}");
        let mut out = Vec::new();
        page.print(&mut out).unwrap();
        let expect = "Name:         web\nLabels:       app=web\n              tier=front\nAnnotations:  <none>\n\
            Containers:\n  Image:    a:1\n  Message:  one\n            two\u{fffd}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
}
