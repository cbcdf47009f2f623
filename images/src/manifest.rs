//! The documents of the OCI image specification and their Docker ancestors: read, bounded, nothing more.

use serde::{Deserialize, Serialize};

use gannet_protocols_model::Digest;

use crate::Platform;

/// The largest manifest or index that is read; registries have the same bound.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;
/// The most layers of an image. Overlayfs takes 500; Docker stops at 127.
pub const MAX_LAYERS: usize = 128;
/// The most images of an index.
const MAX_INDEX_ENTRIES: usize = 1024;

/// The media types that matter.
pub mod media {
    /// An image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An index of manifests.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker's image manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// An image's configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// Docker's image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A gzip layer.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
}

/// A blob as another document names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// In an index: which machine it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    /// 2.
    pub schema_version: u32,
    /// [`media::MANIFEST`] or Docker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image's configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// An index: the same image for several machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// [`media::INDEX`] or Docker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// One a machine.
    pub manifests: Vec<Descriptor>,
}

/// What a registry answers for a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// An image.
    Manifest(ImageManifest),
    /// A choice of images.
    Index(Index),
}

/// Why bytes are no manifest or index of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Larger than [`MAX_MANIFEST_BYTES`].
    #[error("manifest has {size} bytes, more than {MAX_MANIFEST_BYTES}")]
    Size {
        /// Its size in bytes.
        size: usize,
    },
    /// Not the JSON of one.
    #[error("manifest does not parse: {reason}")]
    Form {
        /// What the parser said.
        reason: String,
    },
    /// Docker's signed manifests of before 2016.
    #[error("manifest has schema version {found}; only version 2 is supported")]
    Schema {
        /// The version found.
        found: u64,
    },
    /// Too many layers or images.
    #[error("manifest has {found} {what}, more than {limit}")]
    Count {
        /// `layers` or `images`.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// Something else that registries carry: a chart, a signature.
    #[error("not a container image: its configuration has media type {media_type:?}")]
    Artifact {
        /// The configuration's media type.
        media_type: String,
    },
}

impl Document {
    /// Reads a manifest or an index; which of them follows from its fields, as media types are often missing.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            schema_version: Option<u64>,
            manifests: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
            config: Option<serde::de::IgnoredAny>,
        }
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(DocumentError::Size { size: bytes.len() });
        }
        let form = |e: serde_json::Error| DocumentError::Form { reason: e.to_string() };
        let shape: Shape = serde_json::from_slice(bytes).map_err(form)?;
        match shape.schema_version {
            Some(2) => {}
            Some(found) => return Err(DocumentError::Schema { found }),
            None => return Err(DocumentError::Form { reason: "schemaVersion is missing".into() }),
        }
        match (shape.manifests.is_some(), shape.layers.is_some() || shape.config.is_some()) {
            (true, false) => {
                let index: Index = serde_json::from_slice(bytes).map_err(form)?;
                bounded("images", index.manifests.len(), MAX_INDEX_ENTRIES)?;
                Ok(Self::Index(index))
            }
            (false, true) => Ok(Self::Manifest(ImageManifest::read(bytes)?)),
            // Both would be read as an image by one program and as an index by another.
            _ => Err(DocumentError::Form {
                reason: "exactly one of manifests and layers must be there".into(),
            }),
        }
    }
}

impl ImageManifest {
    fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| DocumentError::Form { reason: e.to_string() })?;
        bounded("layers", manifest.layers.len(), MAX_LAYERS)?;
        Ok(manifest)
    }

    /// Refuses what is no container image.
    pub(crate) fn check_is_image(&self) -> Result<(), DocumentError> {
        match self.config.media_type.as_str() {
            media::CONFIG | media::DOCKER_CONFIG => Ok(()),
            other => Err(DocumentError::Artifact { media_type: other.chars().take(100).collect() }),
        }
    }
}

fn bounded(what: &'static str, found: usize, limit: usize) -> Result<(), DocumentError> {
    if found > limit { Err(DocumentError::Count { what, found, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let got = match Document::parse(text.as_bytes()) {
            Ok(Document::Manifest(m)) => format!("manifest of {} layers", m.layers.len()),
            Ok(Document::Index(i)) => format!("index of {}", i.manifests.len()),
            Err(e) => e.to_string(),
        };
        assert!(got.contains(expect), "{got} does not say {expect}");
    }

    #[test]
    fn documents() {
        let digest = Digest::of(b"x");
        let blob = format!(r#"{{"mediaType":"m","digest":"{digest}","size":1}}"#);
        let layers = |n: usize| vec![blob.clone(); n].join(",");
        check(&format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{}]}}"#, layers(2)), "manifest of 2");
        check(
            &format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[{}]}}"#, layers(129)),
            "129 layers, more than 128",
        );
        check(&format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, layers(3)), "index of 3");
        check(&format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, layers(1025)), "1025 images");
        check(&format!(r#"{{"schemaVersion":2,"config":{blob},"layers":[],"manifests":[]}}"#), "exactly one");
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema version 1");
        check(r#"{"layers":[]}"#, "schemaVersion is missing");
        check(r#"{"schemaVersion":2,"layers":[]}"#, "config");
        check(r#"{"schemaVersion":2,"config":{"digest":"md5:1","size":1},"layers":[]}"#, "sha256");
        check(r#"{"schemaVersion":2,"config":{"digest":"md5:1","size":-1},"layers":[]}"#, "does not parse");
        check("[", "does not parse");
        check(&" ".repeat(MAX_MANIFEST_BYTES + 1), "more than 4194304");
    }

    #[test]
    fn charts_are_no_images() {
        let blob = |media_type: &str| Descriptor {
            media_type: media_type.into(),
            digest: Digest::of(b""),
            size: 0,
            platform: None,
        };
        let image = |config: &str| ImageManifest {
            schema_version: 2,
            media_type: None,
            config: blob(config),
            layers: vec![],
        };
        assert!(image(media::CONFIG).check_is_image().is_ok());
        assert!(image(media::DOCKER_CONFIG).check_is_image().is_ok());
        assert!(image("application/vnd.cncf.helm.config.v1+json").check_is_image().is_err());
    }
}
