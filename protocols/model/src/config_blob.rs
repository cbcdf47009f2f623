//! The data of one ConfigMap or Secret, as a blob: keys and bytes, nothing else, so equal data is one blob.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::Digest;

/// Keys and their bytes. JSON: `{"data":{"key":"base64"}}`, keys sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigBlob {
    data: BTreeMap<String, String>,
}

impl ConfigBlob {
    /// A blob of these keys.
    pub fn new(data: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self { data: data.into_iter().map(|(key, value)| (key, BASE64.encode(value))).collect() }
    }

    /// Reads a blob whose digest was already checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The blob's bytes; its name is their digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A map of strings always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What the blob is named by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.data.keys().map(String::as_str)
    }

    /// The bytes of a key; `None` where there is none, or where it is not base64.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.data.get(key).and_then(|value| BASE64.decode(value).ok())
    }
}
