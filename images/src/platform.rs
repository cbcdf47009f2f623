//! Which machine an image is for, and which of an index's images this machine can run best.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A platform, in Go's words: `linux`, `arm`, `v7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v5` to `v8` of ARM, or `v2` and up of amd64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on this architecture and variant.
    pub fn linux(architecture: &str, variant: Option<&str>) -> Self {
        Self { os: "linux".into(), architecture: architecture.into(), variant: variant.map(Into::into) }
    }

    /// What this program was built for.
    pub fn of_this_build() -> Self {
        match std::env::consts::ARCH {
            "x86_64" => Self::linux("amd64", None),
            "x86" => Self::linux("386", None),
            "aarch64" => Self::linux("arm64", Some("v8")),
            "arm" => Self::linux("arm", Some("v7")),
            "powerpc64" => Self::linux("ppc64le", None),
            other => Self::linux(other, None),
        }
    }

    /// How well an image for `image` runs here: smaller is better, `None` not at all.
    ///
    /// A newer 32-bit ARM runs what was built for an older one, and nothing runs what is newer than itself. An amd64
    /// image that asks for a micro-architecture level is taken only where the machine is known to have it.
    fn rank(&self, image: &Self) -> Option<u32> {
        if self.os != image.os || self.architecture != image.architecture {
            return None;
        }
        if let ("arm", Some(version)) = (self.architecture.as_str(), self.version()) {
            return match image.version() {
                Some(theirs) => version.checked_sub(theirs),
                // No variant said: the oldest by convention is v7, but old tools leave it out for anything.
                None if image.variant.is_none() => Some(100),
                None => None,
            };
        }
        match (&self.variant, &image.variant) {
            (ours, theirs) if ours == theirs => Some(0),
            (_, None) => Some(1),
            (None, Some(theirs)) if self.architecture == "arm64" && theirs == "v8" => Some(0),
            (None, Some(theirs)) if self.architecture == "amd64" && theirs == "v1" => Some(0),
            _ => None,
        }
    }

    fn version(&self) -> Option<u32> {
        self.variant.as_deref()?.strip_prefix('v')?.parse().ok()
    }

    /// The best of these for this machine; the first of equals.
    pub(crate) fn choose<'a, T>(&self, images: impl IntoIterator<Item = (&'a Self, T)>) -> Option<T> {
        let ranked = images.into_iter().filter_map(|(image, item)| Some((self.rank(image)?, item)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, item)| item)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        let mut parts = text.split('/');
        let mut next = || parts.next().map(str::to_owned);
        Platform { os: next().unwrap(), architecture: next().unwrap(), variant: next() }
    }

    fn check(machine: &str, images: &[&str], expect: Option<&str>) {
        let images: Vec<Platform> = images.iter().map(|i| parse(i)).collect();
        let got = parse(machine).choose(images.iter().map(|i| (i, i.to_string())));
        assert_eq!(got.as_deref(), expect, "{machine} of {images:?}");
    }

    #[test]
    fn the_best_image_is_chosen() {
        let all = [
            "linux/amd64",
            "linux/arm/v5",
            "linux/arm/v7",
            "linux/arm64/v8",
            "windows/amd64",
            "unknown/unknown",
        ];
        check("linux/amd64", &all, Some("linux/amd64"));
        check("linux/arm64/v8", &all, Some("linux/arm64/v8"));
        check("linux/arm64/v8", &["linux/arm64"], Some("linux/arm64"));
        check("linux/arm/v7", &all, Some("linux/arm/v7"));
        check("linux/arm/v6", &all, Some("linux/arm/v5"));
        check("linux/arm/v6", &["linux/arm/v7"], None);
        check("linux/arm/v7", &["linux/arm"], Some("linux/arm"));
        check("linux/amd64", &["linux/amd64/v3", "linux/amd64/v1"], Some("linux/amd64/v1"));
        check("linux/amd64", &["linux/amd64/v3"], None);
        check("linux/riscv64", &all, None);
        check("linux/amd64", &["unknown/unknown"], None);
    }
}
