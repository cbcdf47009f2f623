//! Settings become a configuration: valid types, or all that is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gannet_images::{ClientIdentity, RegistryConfig};
use gannet_protocols_model::{NodeName, VerifyingKey};

use super::node::NodeSettings;
use super::settings::{ConfigError, Settings, read_text};

/// A valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct RunConfig {
    pub(crate) data_dir: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) node: NodeName,
    pub(crate) hub_key: VerifyingKey,
    /// Without it the agent runs what its ledger says and talks to nobody.
    pub(crate) mqtt: Option<MqttSettings>,
    pub(crate) registries: RegistryConfig,
    pub(crate) node_address: Ipv4Addr,
    pub(crate) bridge: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) beat_interval: Duration,
    pub(crate) stop_pods_on_exit: bool,
    /// The node's own share, its limits and its devices.
    pub(crate) settings: NodeSettings,
}

/// How the broker is reached.
#[derive(Debug, Clone)]
pub(crate) struct MqttSettings {
    pub(crate) url: String,
    pub(crate) keep_alive: Duration,
    /// Certificates, for `mqtts`.
    pub(crate) tls: Option<TlsFiles>,
}

/// PEM texts.
#[derive(Clone)]
pub(crate) struct TlsFiles {
    pub(crate) ca: String,
    pub(crate) identity: Option<ClientIdentity>,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles")
    }
}

/// Gathers problems.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<String>);

impl Problems {
    pub(super) fn take<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }

    pub(super) fn need<T>(&mut self, value: Option<T>, what: &str) -> Option<T> {
        if value.is_none() {
            self.0.push(format!("{what} is needed"));
        }
        value
    }
}

impl Settings {
    /// The configuration, or all that is wrong with it.
    pub(crate) fn check(self) -> Result<RunConfig, ConfigError> {
        let mut problems = Problems::default();
        let file = problems.take(self.node_file()).unwrap_or_default();
        let in_identity = |name: &str| self.identity.as_ref().map(|dir| dir.join(name));
        let data_dir = self.data_dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/gannet"));

        let name = problems.need(
            self.node_name.clone().or(file.name.clone()),
            "the node's name (--node-name or --identity)",
        );
        let node = name.and_then(|n| {
            problems.take(n.parse::<NodeName>().map_err(|e| self.told("node_name", e.to_string())))
        });
        let key_text = self.hub_key.clone().or(in_identity("hub.pub").map(|p| p.display().to_string()));
        let key_text = problems.need(key_text, "the hub's signing key (--hub-key or --identity)");
        let hub_key =
            key_text.and_then(|text| problems.take(hub_key(&text).map_err(|e| self.told("hub_key", e))));
        let tls = self.tls(&mut problems);
        let mqtt = self.mqtt(&file, tls.clone(), &mut problems);
        let registries = self.registries(&file, tls.as_ref(), &mut problems);
        let labels = self.labels.iter();
        let labels = labels.filter_map(|text| problems.take(label(text).map_err(|e| self.told("labels", e))));
        let labels = labels.collect();
        let beat_interval = Duration::from_secs(self.beat_interval.unwrap_or(30));
        if beat_interval.is_zero() {
            problems.0.push(format!("{} is 0 seconds, at least 1 is needed", self.called("beat_interval")));
        }
        let bridge = self.bridge.clone().unwrap_or_else(|| "gannet0".to_owned());
        if bridge.is_empty()
            || bridge.len() > 15
            || !bridge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            let called = self.called("bridge");
            problems.0.push(format!("{called} {bridge:?} is not 1 to 15 letters, digits and '-'"));
        }
        match (node, hub_key, problems.0.is_empty()) {
            (Some(node), Some(hub_key), true) => Ok(RunConfig {
                run_dir: self.run_dir.unwrap_or_else(|| Path::new("/run/gannet").join(node.as_str())),
                data_dir,
                node,
                hub_key,
                mqtt,
                registries,
                node_address: self.node_address.unwrap_or_else(default_address),
                bridge,
                labels,
                beat_interval,
                stop_pods_on_exit: self.stop_pods_on_exit,
                settings: self.node,
            }),
            _ => Err(ConfigError { problems: problems.0 }),
        }
    }
}

/// The key itself, or the file that holds it.
fn hub_key(text: &str) -> Result<VerifyingKey, String> {
    if let Ok(key) = VerifyingKey::from_base64(text) {
        return Ok(key);
    }
    let content = read_text(Path::new(text))
        .map_err(|e| format!("the hub's signing key is neither base64 nor a file: {e}"))?;
    VerifyingKey::from_base64(&content).map_err(|_| format!("{text} does not hold an Ed25519 key in base64"))
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("label {text:?} is not KEY=VALUE")),
    }
}

/// The address from which the node would send to the world. Nothing is sent.
fn default_address() -> Ipv4Addr {
    let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    match local.map(|addr| addr.ip()) {
        Ok(std::net::IpAddr::V4(ip)) => ip,
        _ => Ipv4Addr::LOCALHOST,
    }
}
