//! An image's configuration: what to run by default, and which layers make its file system.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use gannet_protocols_model::Digest;

use crate::manifest::MAX_LAYERS;

/// The largest configuration that is read.
pub(crate) const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// What an image says about how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `NAME=value`, in order.
    pub env: Vec<String>,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod may replace.
    pub cmd: Vec<String>,
    /// Where the program starts; `/` where empty.
    pub working_dir: String,
    /// `user`, `uid`, `user:group` or `uid:gid`; root where empty.
    pub user: String,
    /// `8080/tcp`.
    pub exposed_ports: Vec<String>,
    /// `SIGTERM` where there is none.
    pub stop_signal: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
}

/// A configuration with what only the store needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigDocument {
    pub(crate) config: ImageConfig,
    /// Digests of the uncompressed layers, lowest first.
    pub(crate) diff_ids: Vec<Digest>,
}

/// Why bytes are no image configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not the JSON of one.
    #[error("image configuration does not parse: {reason}")]
    Form {
        /// What the parser said.
        reason: String,
    },
    /// Layers of manifest and configuration do not belong together.
    #[error("image configuration names {found} layers, the manifest has {expected}")]
    Layers {
        /// In the configuration.
        found: usize,
        /// In the manifest.
        expected: usize,
    },
}

#[derive(Deserialize)]
struct Raw {
    config: Option<RawConfig>,
    rootfs: RawRootfs,
}

// Docker writes `null` for what is not there.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    stop_signal: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Vec<Digest>>,
}

impl ConfigDocument {
    /// Reads a configuration for a manifest of `layers` layers.
    pub(crate) fn parse(bytes: &[u8], layers: usize) -> Result<Self, ConfigError> {
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|e| ConfigError::Form { reason: e.to_string() })?;
        let diff_ids = raw.rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers || layers > MAX_LAYERS {
            return Err(ConfigError::Layers { found: diff_ids.len(), expected: layers });
        }
        let raw = raw.config.unwrap_or_default();
        let config = ImageConfig {
            env: raw.env.unwrap_or_default(),
            entrypoint: raw.entrypoint.unwrap_or_default(),
            cmd: raw.cmd.unwrap_or_default(),
            working_dir: raw.working_dir.unwrap_or_default(),
            user: raw.user.unwrap_or_default(),
            exposed_ports: raw.exposed_ports.unwrap_or_default().into_keys().collect(),
            stop_signal: raw.stop_signal.filter(|signal| !signal.is_empty()),
            labels: raw.labels.unwrap_or_default(),
        };
        Ok(Self { config, diff_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let digest = Digest::of(b"x");
        let text = format!(
            r#"{{"os":"linux","config":{{"Env":["A=b"],"Entrypoint":null,"Cmd":["sh"],"ExposedPorts":{{"80/tcp":{{}}}},"StopSignal":""}},
               "rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#
        );
        let parsed = ConfigDocument::parse(text.as_bytes(), 1).unwrap();
        assert_eq!(parsed.diff_ids, [digest]);
        let expect = ImageConfig {
            env: vec!["A=b".into()],
            cmd: vec!["sh".into()],
            exposed_ports: vec!["80/tcp".into()],
            ..ImageConfig::default()
        };
        assert_eq!(parsed.config, expect);
        assert!(ConfigDocument::parse(br#"{"rootfs":{"diff_ids":null}}"#, 0).is_ok());
        assert_eq!(
            ConfigDocument::parse(text.as_bytes(), 2),
            Err(ConfigError::Layers { found: 1, expected: 2 })
        );
        assert!(matches!(ConfigDocument::parse(b"{}", 0), Err(ConfigError::Form { .. })));
    }
}
