//! The name of an object: kind, namespace, name; ordered by the three in turn.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Kubernetes' longest name is 253 bytes; a kind is `plural.group`, so as long again.
const MAX_PART_BYTES: usize = 512;

/// `kind/namespace/name`. The kind is the plural, with its group if it has one (`pods`, `deployments.apps`); the
/// namespace is empty for what belongs to the whole cluster (`nodes//edge-1`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The plural and group.
    pub kind: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// Why a key names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not three parts.
    #[error("key {value:?} is not kind/namespace/name")]
    Form {
        /// What was given.
        value: String,
    },
    /// A part that must not be empty is.
    #[error("the {part} of a key is empty")]
    Empty {
        /// Which one.
        part: &'static str,
    },
    /// A part that would be ambiguous, or is too long.
    #[error(
        "the {part} of a key is {value:?}; it must be at most {MAX_PART_BYTES} bytes without '/' or control characters"
    )]
    Part {
        /// Which one.
        part: &'static str,
        /// Its first characters.
        value: String,
    },
}

impl Key {
    /// A key of an object in a namespace (or, with an empty one, of the cluster).
    pub fn new(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// Is every part of a form that can be stored?
    pub fn validate(&self) -> Result<(), KeyError> {
        for (part, value) in [("kind", &self.kind), ("namespace", &self.namespace), ("name", &self.name)] {
            if value.is_empty() && part != "namespace" {
                return Err(KeyError::Empty { part });
            }
            if value.len() > MAX_PART_BYTES || value.bytes().any(|b| b == b'/' || b < 0x20 || b == 0x7f) {
                return Err(KeyError::Part { part, value: value.chars().take(64).collect() });
            }
        }
        Ok(())
    }

    /// The key's bytes: parts separated by a zero, which sorts as the parts do.
    pub(crate) fn encode(&self) -> Box<[u8]> {
        [self.kind.as_bytes(), &[0], self.namespace.as_bytes(), &[0], self.name.as_bytes()]
            .concat()
            .into_boxed_slice()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let wrong = || KeyError::Form { value: String::from_utf8_lossy(bytes).chars().take(64).collect() };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(namespace), Some(name), None) => Ok(Self::new(kind, namespace, name)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.split('/');
        let key = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(namespace), Some(name), None) => Self::new(kind, namespace, name),
            _ => return Err(KeyError::Form { value: text.chars().take(64).collect() }),
        };
        key.validate()?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let check = |text: &str, key: Key| {
            assert_eq!(text.parse::<Key>().unwrap(), key);
            assert_eq!(key.to_string(), text);
            assert_eq!(Key::decode(&key.encode()).unwrap(), key);
        };
        check("pods/default/web", Key::new("pods", "default", "web"));
        check("deployments.apps/default/web", Key::new("deployments.apps", "default", "web"));
        check("nodes//edge-1", Key::new("nodes", "", "edge-1"));
    }

    #[test]
    fn bytes_sort_as_keys_do() {
        let mut keys: Vec<Key> =
            ["pods/a/b", "pods/a-b/a", "pods/a.b/a", "pods.x/a/a", "pods//z", "po/z/z", "pods/a/b-c"]
                .iter()
                .map(|k| k.parse().unwrap())
                .collect();
        keys.sort();
        let mut by_bytes = keys.clone();
        by_bytes.sort_by_key(Key::encode);
        assert_eq!(keys, by_bytes);
    }

    #[test]
    fn refused() {
        for text in ["", "pods", "pods/default", "pods/default/", "/default/web", "pods/a/b/c", "pods/a/\0"] {
            assert!(text.parse::<Key>().is_err(), "{text:?}");
        }
        assert!(Key::new("pods", "default", "x".repeat(600)).validate().is_err());
        assert!(Key::decode(b"pods\0x").is_err());
        assert!(Key::decode(b"pods\0x\0y\0z").is_err());
        assert!(Key::decode(&[0xff, 0, 0]).is_err());
    }
}
