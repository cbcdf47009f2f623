//! What an identity holds, and the certificates and registries that follow from it.

use std::path::PathBuf;
use std::time::Duration;

use gannet_images::{ClientIdentity, Registry, RegistryConfig};
use serde::Deserialize;

use super::check::{MqttSettings, Problems, TlsFiles};
use super::settings::{Settings, read_text};

/// `node.json` of an identity. Written by a hub that may be newer, so further keys are left alone.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NodeFile {
    pub(super) name: Option<String>,
    pub(super) mqtt_url: Option<String>,
    #[serde(default)]
    registries: Vec<RegistryFile>,
}

#[derive(Debug, Deserialize)]
struct RegistryFile {
    host: String,
    #[serde(default)]
    scheme: Option<String>,
    /// A file of the identity, or the PEM text itself.
    #[serde(default)]
    ca: Option<String>,
    /// Whether the node shows its certificate.
    #[serde(default)]
    client_certificate: bool,
}

impl Settings {
    pub(super) fn node_file(&self) -> Result<NodeFile, String> {
        let Some(path) = self.identity.as_ref().map(|dir| dir.join("node.json")) else {
            return Ok(NodeFile::default());
        };
        let text = read_text(&path)?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The certificates: those of the flags, else those of the identity.
    pub(super) fn tls(&self, problems: &mut Problems) -> Option<TlsFiles> {
        let pick = |flag: &Option<PathBuf>, name: &str| {
            let own = self.identity.as_ref().map(|dir| dir.join(name)).filter(|path| path.exists());
            flag.clone().or(own)
        };
        let (ca, cert, key) =
            (pick(&self.ca, "ca.crt")?, pick(&self.cert, "node.crt"), pick(&self.key, "node.key"));
        let ca = problems.take(read_text(&ca));
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => {
                let texts = (problems.take(read_text(&cert)), problems.take(read_text(&key)));
                if let (Some(cert_pem), Some(key_pem)) = texts {
                    Some(ClientIdentity { cert_pem, key_pem })
                } else {
                    None
                }
            }
            (None, None) => None,
            (Some(_), None) => {
                problems.0.push(format!("{} is given without a key", self.called("cert")));
                None
            }
            (None, Some(_)) => {
                problems.0.push(format!("{} is given without a certificate", self.called("key")));
                None
            }
        };
        Some(TlsFiles { ca: ca?, identity })
    }

    pub(super) fn mqtt(
        &self,
        file: &NodeFile,
        tls: Option<TlsFiles>,
        problems: &mut Problems,
    ) -> Option<MqttSettings> {
        let url = self.mqtt_url.clone().or(file.mqtt_url.clone())?;
        if url.starts_with("mqtts://") && tls.is_none() {
            problems.0.push(format!("{url} needs the CA of the broker's certificate (--ca or --identity)"));
        } else if !url.starts_with("mqtts://") && !url.starts_with("mqtt://") {
            problems.0.push(format!(
                "{} {url:?} is not mqtt://HOST:PORT or mqtts://HOST:PORT",
                self.called("mqtt_url")
            ));
        }
        let keep_alive = self.keep_alive.unwrap_or(30);
        if keep_alive == 0 {
            problems.0.push(format!("{} is 0 seconds, at least 1 is needed", self.called("keep_alive")));
        }
        Some(MqttSettings { url, keep_alive: Duration::from_secs(keep_alive), tls })
    }

    pub(super) fn registries(
        &self,
        file: &NodeFile,
        tls: Option<&TlsFiles>,
        problems: &mut Problems,
    ) -> RegistryConfig {
        let mut search: Vec<Registry> = Vec::new();
        let flag_ca = self.registry_ca.as_ref().and_then(|path| problems.take(read_text(path)));
        for url in &self.registry {
            if let Some(mut registry) = problems.take(registry(url).map_err(|e| self.told("registry", e))) {
                registry.ca_pem.clone_from(&flag_ca);
                search.push(registry);
            }
        }
        if search.is_empty() {
            for entry in &file.registries {
                let scheme = entry.scheme.as_deref().unwrap_or("https");
                let Some(mut registry) = problems.take(registry(&format!("{scheme}://{}", entry.host)))
                else {
                    continue;
                };
                registry.ca_pem = match &entry.ca {
                    Some(text) if text.contains("-----BEGIN") => Some(text.clone()),
                    Some(name) => {
                        let dir = self.identity.clone().unwrap_or_default();
                        problems.take(read_text(&dir.join(name)))
                    }
                    None => None,
                };
                registry.identity = tls.and_then(|t| t.identity.clone()).filter(|_| entry.client_certificate);
                search.push(registry);
            }
        }
        if !search.iter().any(|r| r.host == "docker.io") {
            search.push(Registry::https("docker.io"));
        }
        RegistryConfig::new(search)
    }
}

fn registry(url: &str) -> Result<Registry, String> {
    let wrong = || format!("registry {url:?} is not http://HOST[:PORT] or https://HOST[:PORT]");
    let (scheme, host) = url.split_once("://").ok_or_else(wrong)?;
    let host = host.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '@', ' ']) {
        return Err(wrong());
    }
    match scheme {
        "http" => Ok(Registry::http(host)),
        "https" => Ok(Registry::https(host)),
        _ => Err(wrong()),
    }
}
