//! Paths with `*`, `?` and `[…]`, which stand for parts of one name each, as shells know them.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Paths that a pattern may lead to: more than any machine has device nodes of one kind.
const MOST: usize = 4096;

/// An absolute path, each of whose names may be a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    names: Vec<String>,
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('\0') {
            return Err("it holds a NUL");
        }
        let rest = text.strip_prefix('/').ok_or("it must be absolute, as /dev/ttyUSB*")?;
        let names: Vec<String> =
            rest.split('/').filter(|n| !n.is_empty() && *n != ".").map(str::to_owned).collect();
        if names.is_empty() {
            return Err("it names no file");
        }
        if names.iter().any(|n| n == "..") {
            return Err("it must not hold '..'");
        }
        if names.iter().any(|n| !is_closed(n)) {
            return Err("a '[' has no ']'");
        }
        Ok(Self { names })
    }
}

fn is_closed(name: &str) -> bool {
    let mut rest = name;
    while let Some(open) = rest.find('[') {
        match class_end(&rest[open..]) {
            Some(end) => rest = &rest[open + end..],
            None => return false,
        }
    }
    true
}

/// Behind the `]` of a class that begins here. A `]` right at its beginning belongs to it.
fn class_end(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[')?;
    let skip = inner.starts_with(['!', '^']).into();
    let first = inner[skip..].chars().next()?.len_utf8();
    Some(1 + skip + first + inner[skip + first..].find(']')? + 1)
}

impl Pattern {
    /// The paths that are there, in order.
    pub(crate) fn expand(&self) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::from("/")];
        for name in &self.names {
            if !name.contains(['*', '?', '[']) {
                found.iter_mut().for_each(|path| path.push(name));
                continue;
            }
            let below = found.iter().flat_map(|dir| matching(dir, name)).take(MOST);
            found = below.collect();
        }
        found.retain(|path| path.symlink_metadata().is_ok());
        found
    }
}

fn matching(dir: &Path, pattern: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|e| e.file_name().into_string().ok());
    // As in shells, a hidden file must be named.
    let hidden = |name: &str| name.starts_with('.') && !pattern.starts_with('.');
    let mut names: Vec<String> = names.filter(|name| !hidden(name) && matches(pattern, name)).collect();
    names.sort_by(|a, b| natural(a).cmp(&natural(b)));
    names.into_iter().map(|name| dir.join(name)).collect()
}

/// So that `ttyUSB10` comes after `ttyUSB9`.
fn natural(name: &str) -> (&str, u64, &str) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0), name)
}

fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<Token> = tokens(pattern);
    let name: Vec<char> = name.chars().collect();
    // Where the last star stood, and how much it took: only that star can take more.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(Token::Star) => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(token) if token.is(name[n]) => (p, n) = (p + 1, n + 1),
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, n) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|token| *token == Token::Star)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    Char(char),
    Class { not: bool, ranges: Vec<(char, char)> },
}

impl Token {
    fn is(&self, c: char) -> bool {
        match self {
            Self::Star | Self::Any => true,
            Self::Char(own) => *own == c,
            Self::Class { not, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *not,
        }
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        found.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '[' => match class_end(rest) {
                Some(end) => {
                    length = end;
                    class(&rest[1..end - 1])
                }
                None => Token::Char(c),
            },
            c => Token::Char(c),
        });
        rest = &rest[length..];
    }
    found
}

fn class(inner: &str) -> Token {
    let not = inner.starts_with(['!', '^']);
    let chars: Vec<char> = inner.chars().skip(usize::from(not)).collect();
    let mut ranges = Vec::new();
    let mut rest = chars.as_slice();
    while let Some((from, more)) = rest.split_first() {
        rest = match more {
            ['-', to, more @ ..] => {
                ranges.push((*from, *to));
                more
            }
            more => {
                ranges.push((*from, *from));
                more
            }
        };
    }
    Token::Class { not, ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (pattern, yes, no) in [
            ("ttyUSB*", &["ttyUSB0", "ttyUSB", "ttyUSB10"][..], &["ttyACM0", "xttyUSB0"][..]),
            ("tty[AU]*[0-9]", &["ttyA0", "ttyUx9"], &["ttyB0", "ttyA"]),
            ("video?", &["video0"], &["video", "video10"]),
            ("[!a-c]x", &["dx"], &["ax", "cx", "x"]),
            ("[]]", &["]"], &["["]),
            ("[^]-]x", &["ax"], &["]x", "-x"]),
            ("*a*b*", &["ab", "xaybz", "aab"], &["ba", "a"]),
            ("a*a*a*a*a*b", &["aaaaab"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]),
            ("plain", &["plain"], &["plain2", ""]),
            ("é?", &["éa"], &["ea"]),
        ] {
            for name in yes {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in no {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn paths_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        for path in ["a/x1", "a/x10", "a/x2", "b/x1", "b/y", "a/.x"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let check = |pattern: &str, expect: &[&str]| {
            let found = format!("{root}/{pattern}").parse::<Pattern>().unwrap().expand();
            let expect: Vec<PathBuf> = expect.iter().map(|p| dir.path().join(p)).collect();
            assert_eq!(found, expect, "{pattern}");
        };
        check("a/x*", &["a/x1", "a/x2", "a/x10"]);
        check("*/x1", &["a/x1", "b/x1"]);
        check("a/*", &["a/x1", "a/x2", "a/x10"]);
        check("a//x1", &["a/x1"]);
        check("no/x*", &[]);
        check("no", &[]);
        assert!("/".parse::<Pattern>().is_err() && "/a/[".parse::<Pattern>().is_err());
    }
}
