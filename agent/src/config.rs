//! The configuration: flags over the configuration file over the identity's `node.json` over defaults, checked whole
//! before anything is opened. Every problem is told, not the first alone.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use gannet_images::{ClientIdentity, Registry, RegistryConfig};
use gannet_protocols_model::{NodeName, VerifyingKey};
use serde::Deserialize;

/// What may be set by flags and by the configuration file, under the same names.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    /// Where everything that must survive a power cut lies
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where sockets and state in memory lie [default: /run/gannet/NODE]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The identity that enrolment wrote: ca.crt, node.crt, node.key, hub.pub, node.json
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// The node's name
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The broker: mqtt://HOST:PORT or mqtts://HOST:PORT
    #[arg(long, value_name = "URL")]
    mqtt_url: Option<String>,
    /// The CA that the broker's certificate comes from (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The node's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The key of the node's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The hub's signing key: base64, or a file that holds it
    #[arg(long, value_name = "KEY|FILE")]
    hub_key: Option<String>,
    /// A registry for image names without a host, as http://HOST:PORT or https://HOST; may be given more than once
    #[arg(long, value_name = "URL")]
    registry: Vec<String>,
    /// The CA that the registries' certificates come from (PEM) [default: the system's]
    #[arg(long, value_name = "FILE")]
    registry_ca: Option<PathBuf>,
    /// The address at which the node's services are reached [default: that of the default route]
    #[arg(long, value_name = "IP")]
    node_address: Option<Ipv4Addr>,
    /// The name of the pods' bridge
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// A label of the node, as KEY=VALUE; may be given more than once
    #[arg(long, value_name = "K=V")]
    labels: Vec<String>,
    /// Seconds between two beats [default: 30]
    #[arg(long, value_name = "SECONDS")]
    beat_interval: Option<u64>,
    /// Seconds of the MQTT keep-alive [default: 30]
    #[arg(long, value_name = "SECONDS")]
    keep_alive: Option<u64>,
    /// Stop every pod when the agent ends, and leave nothing behind
    #[arg(long)]
    #[serde(skip)]
    stop_pods_on_exit: bool,
}

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

/// Every problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    pub(crate) problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// `node.json` of an identity. Written by a hub that may be newer, so further keys are left alone.
#[derive(Debug, Default, Deserialize)]
struct NodeFile {
    name: Option<String>,
    mqtt_url: Option<String>,
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

/// Gathers problems.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn take<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }

    fn need<T>(&mut self, value: Option<T>, what: &str) -> Option<T> {
        if value.is_none() {
            self.0.push(format!("{what} is needed"));
        }
        value
    }
}

impl Settings {
    /// These settings, and where they are silent those of the file.
    pub(crate) fn over(self, file: Self) -> Self {
        let or = |a: Vec<String>, b: Vec<String>| if a.is_empty() { b } else { a };
        Self {
            data_dir: self.data_dir.or(file.data_dir),
            run_dir: self.run_dir.or(file.run_dir),
            identity: self.identity.or(file.identity),
            node_name: self.node_name.or(file.node_name),
            mqtt_url: self.mqtt_url.or(file.mqtt_url),
            ca: self.ca.or(file.ca),
            cert: self.cert.or(file.cert),
            key: self.key.or(file.key),
            hub_key: self.hub_key.or(file.hub_key),
            registry: or(self.registry, file.registry),
            registry_ca: self.registry_ca.or(file.registry_ca),
            node_address: self.node_address.or(file.node_address),
            bridge: self.bridge.or(file.bridge),
            labels: or(self.labels, file.labels),
            beat_interval: self.beat_interval.or(file.beat_interval),
            keep_alive: self.keep_alive.or(file.keep_alive),
            stop_pods_on_exit: self.stop_pods_on_exit || file.stop_pods_on_exit,
        }
    }

    /// Reads a configuration file: JSON, with the names of the flags.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let problem = |text: String| ConfigError { problems: vec![text] };
        let text = read_text(path).map_err(problem)?;
        serde_json::from_str(&text).map_err(|e| problem(format!("{}: {e}", path.display())))
    }

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
        let node = name.and_then(|n| problems.take(n.parse::<NodeName>().map_err(|e| e.to_string())));
        let key_text = self.hub_key.clone().or(in_identity("hub.pub").map(|p| p.display().to_string()));
        let key_text = problems.need(key_text, "the hub's signing key (--hub-key or --identity)");
        let hub_key = key_text.and_then(|text| problems.take(hub_key(&text)));
        let tls = self.tls(&mut problems);
        let mqtt = self.mqtt(&file, tls.clone(), &mut problems);
        let registries = self.registries(&file, tls.as_ref(), &mut problems);
        let labels = self.labels.iter().filter_map(|text| problems.take(label(text))).collect();
        let beat_interval = Duration::from_secs(self.beat_interval.unwrap_or(30));
        if beat_interval.is_zero() {
            problems.0.push("--beat-interval is 0 seconds, at least 1 is needed".to_owned());
        }
        let bridge = self.bridge.clone().unwrap_or_else(|| "gannet0".to_owned());
        if bridge.is_empty()
            || bridge.len() > 15
            || !bridge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        {
            problems.0.push(format!("--bridge {bridge:?} is not 1 to 15 letters, digits and '-'"));
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
            }),
            _ => Err(ConfigError { problems: problems.0 }),
        }
    }

    fn node_file(&self) -> Result<NodeFile, String> {
        let Some(path) = self.identity.as_ref().map(|dir| dir.join("node.json")) else {
            return Ok(NodeFile::default());
        };
        let text = read_text(&path)?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The certificates: those of the flags, else those of the identity.
    fn tls(&self, problems: &mut Problems) -> Option<TlsFiles> {
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
                problems.0.push("--cert is given without --key".to_owned());
                None
            }
            (None, Some(_)) => {
                problems.0.push("--key is given without --cert".to_owned());
                None
            }
        };
        Some(TlsFiles { ca: ca?, identity })
    }

    fn mqtt(&self, file: &NodeFile, tls: Option<TlsFiles>, problems: &mut Problems) -> Option<MqttSettings> {
        let url = self.mqtt_url.clone().or(file.mqtt_url.clone())?;
        if url.starts_with("mqtts://") && tls.is_none() {
            problems.0.push(format!("{url} needs the CA of the broker's certificate (--ca or --identity)"));
        } else if !url.starts_with("mqtts://") && !url.starts_with("mqtt://") {
            problems.0.push(format!("--mqtt-url {url:?} is not mqtt://HOST:PORT or mqtts://HOST:PORT"));
        }
        let keep_alive = self.keep_alive.unwrap_or(30);
        if keep_alive == 0 {
            problems.0.push("--keep-alive is 0 seconds, at least 1 is needed".to_owned());
        }
        Some(MqttSettings { url, keep_alive: Duration::from_secs(keep_alive), tls })
    }

    fn registries(&self, file: &NodeFile, tls: Option<&TlsFiles>, problems: &mut Problems) -> RegistryConfig {
        let mut search: Vec<Registry> = Vec::new();
        let flag_ca = self.registry_ca.as_ref().and_then(|path| problems.take(read_text(path)));
        for url in &self.registry {
            if let Some(mut registry) = problems.take(registry(url)) {
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

fn read_text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
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

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
