//! Reads a TOML file by known keys, gathers all that is wrong, and says where.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration is shorter.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// A file that is read, and what is wrong with it.
pub(super) struct TomlFile<'a> {
    path: &'a Path,
    text: &'a str,
    pub(super) problems: Vec<String>,
}

/// A table of it, of which each known key is asked for.
pub(super) struct Table<'f, 'a, 't> {
    file: &'f mut TomlFile<'a>,
    table: &'t DeTable<'t>,
    /// How the table is named in problems: empty for the whole file.
    name: String,
    span: Range<usize>,
}

impl<'a> TomlFile<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text, problems: Vec::new() }
    }

    /// The file's content, with what could not be understood as TOML left out.
    pub(super) fn parse(&mut self) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.problem(error.span().unwrap_or(0..0), error.message().replace('\n', ", "));
        }
        table
    }

    /// `FILE:LINE`
    pub(super) fn place(&self, span: &Range<usize>) -> String {
        let line = self.text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }

    pub(super) fn problem(&mut self, span: Range<usize>, text: impl AsRef<str>) {
        self.problems.push(format!("{}: {}", self.place(&span), text.as_ref()));
    }

    /// A table, all of whose keys must be among these.
    pub(super) fn table<'f, 't>(
        &'f mut self,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        name: &str,
        known: &[&str],
    ) -> Table<'f, 'a, 't> {
        let place = if name.is_empty() { String::new() } else { format!(" in {name}") };
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let hint = match nearest(key.get_ref(), known) {
                Some(nearest) => format!("did you mean {nearest:?}?"),
                None => format!("there are {}", known.join(", ")),
            };
            let text = format!("unknown key {:?}{place}: {hint}", key.get_ref());
            self.problem(key.span(), text);
        }
        Table { file: self, table, name: name.to_owned(), span }
    }
}

impl<'a, 't> Table<'_, 'a, 't> {
    pub(super) fn file(&mut self) -> &mut TomlFile<'a> {
        self.file
    }

    pub(super) fn get(&self, key: &str) -> Option<(&'t DeValue<'t>, Range<usize>)> {
        let value = self.table.get(key)?;
        Some((value.get_ref(), value.span()))
    }

    /// `FILE:LINE: KEY`
    pub(super) fn place(&self, key: &str) -> Option<String> {
        Some(format!("{}: {}", self.file.place(&self.get(key)?.1), self.path_of(key)))
    }

    fn path_of(&self, key: &str) -> String {
        match self.name.trim_matches(['[', ']']) {
            "" => key.to_owned(),
            table => format!("{table}.{key}"),
        }
    }

    /// What a key holds, as `take` understands it; `what` says what would be right.
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        what: &str,
        take: impl FnOnce(&'t DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let (value, span) = self.get(key)?;
        let taken = take(value);
        if taken.is_none() {
            let text = format!("{} is {}, {what} is needed", self.path_of(key), kind(value));
            self.file.problem(span, text);
        }
        taken
    }

    pub(super) fn string(&mut self, key: &str) -> Option<String> {
        self.take(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", DeValue::as_bool)
    }

    /// A whole number that is not negative and fits.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &str) -> Option<T> {
        self.take(key, "a whole number from 0 on that is not too large", |value| {
            T::try_from(whole(value)?).ok()
        })
    }

    /// Strings; one alone needs no brackets.
    pub(super) fn strings(&mut self, key: &str) -> Vec<String> {
        let taken = self.take(key, "a list of strings", |value| match value {
            DeValue::Array(list) => list.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect(),
            value => value.as_str().map(|text| vec![text.to_owned()]),
        });
        taken.unwrap_or_default()
    }

    /// A string, or a plain number where the text may be one, that something else understands.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.take(key, "a string", |value| match value {
            DeValue::Integer(_) => whole(value).map(|n| n.to_string()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            value => value.as_str().map(str::to_owned),
        })?;
        parse(&text).map_err(|reason| self.problem(key, &reason)).ok()
    }

    /// Says what is wrong with a key; or with the table, where it has none such.
    pub(super) fn problem(&mut self, key: &str, reason: &str) {
        match self.get(key) {
            Some((_, span)) => self.file.problem(span, format!("{}: {reason}", self.path_of(key))),
            None => self.file.problem(self.span.clone(), format!("{}: {reason}", self.name)),
        }
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        value => format!("a value of type {}", value.type_str()),
    }
}

/// The known word that holds the given one, or takes the fewest edits; none where it would be another word altogether.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.replace('-', "_").to_lowercase();
    let part = |known: &str| word.len() > 1 && (known.contains(&word) || word.contains(known));
    let nearest = known.iter().min_by_key(|known| (!part(known), distance(&word, known))).copied()?;
    (part(nearest) || distance(&word, nearest) <= word.len() / 2).then_some(nearest)
}

/// Insertions, deletions and replacements from one to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_words() {
        let known = ["node_name", "node_address", "labels", "mqtt_url"];
        for (word, expect) in
            [("nodename", "node_name"), ("node-name", "node_name"), ("label", "labels"), ("url", "mqtt_url")]
        {
            assert_eq!(nearest(word, &known), Some(expect), "{word}");
        }
        assert_eq!(nearest("foo", &["ca", "cert", "key"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!((distance("", "abc"), distance("abc", "abc")), (3, 0));
    }
}
