//! The name of an image, as people write it: `[host[:port]/]path[:tag][@digest]` (the distribution reference grammar).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A parsed image reference. A name without a host keeps none: which registries to ask is the reader's configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    host: Option<String>,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid image reference {value:?}: {reason}")]
pub struct ReferenceError {
    value: String,
    reason: &'static str,
}

impl ImageReference {
    /// The registry's `host[:port]`, where the name has one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The repository path without the host.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `latest` where the name has neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (None, None) => Some("latest"),
            (tag, _) => tag.as_deref(),
        }
    }

    /// The pinned digest, where the name has one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same image at a registry.
    #[must_use]
    pub fn at(&self, host: &str) -> Self {
        Self { host: Some(host.to_owned()), ..self.clone() }
    }

    /// The same repository at exactly this digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(s: &str) -> Result<Self, ReferenceError> {
        let wrong = |reason| ReferenceError { value: s.chars().take(256).collect(), reason };
        if s.is_empty() || s.len() > 512 {
            return Err(wrong("must be 1 to 512 characters"));
        }
        let (rest, digest) = match s.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| wrong("digest must be sha256:<64 hex digits>"))?))
            }
            None => (s, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|t| !is_tag(t)) {
            return Err(wrong(
                "tag must be 1 to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'",
            ));
        }
        let (host, path) = match rest.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), path),
            _ => (None, rest),
        };
        if host.is_some_and(|h| !is_host(h)) {
            return Err(wrong("registry host is not valid"));
        }
        if !path.split('/').all(is_component) {
            return Err(wrong(
                "repository name must be lowercase letters, digits and separators ('.', '_', '__', '-')",
            ));
        }
        Ok(Self { host: host.map(Into::into), path: path.to_owned(), tag: tag.map(Into::into), digest })
    }
}

fn is_tag(t: &str) -> bool {
    (1..=128).contains(&t.len())
        && !t.starts_with(['.', '-'])
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_host(h: &str) -> bool {
    let (name, port) = match h.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (h, None),
    };
    port.is_none_or(|p| p.parse::<u16>().is_ok())
        && !name.is_empty()
        && name.split('.').all(|l| {
            !l.is_empty()
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_component(c: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let b = c.as_bytes();
    matches!((b.first(), b.last()), (Some(&f), Some(&l)) if alnum(f) && alnum(l))
        && b.iter().all(|&x| alnum(x) || matches!(x, b'.' | b'_' | b'-'))
        && !["..", "._", "_.", ".-", "-.", "___", "_-", "-_"].iter().any(|s| c.contains(s))
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        f.write_str(&self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ImageReference {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageReference {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, host: Option<&str>, path: &str, tag: Option<&str>) {
        let r: ImageReference = text.parse().unwrap();
        assert_eq!((r.host(), r.path(), r.tag()), (host, path, tag), "{text}");
        assert_eq!(r.to_string(), text);
    }

    #[test]
    fn references() {
        check("my-web-app:latest", None, "my-web-app", Some("latest"));
        check("busybox", None, "busybox", Some("latest"));
        check("library/busybox:1.36", None, "library/busybox", Some("1.36"));
        check("127.0.0.1:5000/a/b:v1", Some("127.0.0.1:5000"), "a/b", Some("v1"));
        check("localhost/a", Some("localhost"), "a", Some("latest"));
        check("ghcr.io/o/r", Some("ghcr.io"), "o/r", Some("latest"));
        let pinned = format!("a@sha256:{}", "0".repeat(64));
        check(&pinned, None, "a", None);
    }

    #[test]
    fn wrong_references() {
        for text in [
            "",
            ":tag",
            "A",
            "a:",
            "a:-x",
            "a@sha256:12",
            "a//b",
            "-a",
            "a..b",
            "a b",
            "ho_st:5000/a",
            "h.x:99999/a",
            "../a",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }
}
