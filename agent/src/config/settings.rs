//! What may be set, and where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::node::NodeSettings;

/// What may be set by flags, and by the configuration file under the same names with `_` for `-`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Settings {
    /// Where everything that must survive a power cut lies
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where sockets and state in memory lie [default: /run/gannet/NODE]
    #[arg(long, value_name = "DIR")]
    pub(super) run_dir: Option<PathBuf>,
    /// The identity that enrolment wrote: ca.crt, node.crt, node.key, hub.pub, node.json
    #[arg(long, value_name = "DIR")]
    pub(super) identity: Option<PathBuf>,
    /// The node's name
    #[arg(long, value_name = "NAME")]
    pub(super) node_name: Option<String>,
    /// The broker: mqtt://HOST:PORT or mqtts://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(super) mqtt_url: Option<String>,
    /// The CA that the broker's certificate comes from (PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// The node's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// The key of the node's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// The hub's signing key: base64, or a file that holds it
    #[arg(long, value_name = "KEY|FILE")]
    pub(super) hub_key: Option<String>,
    /// A registry for image names without a host, as http://HOST:PORT or https://HOST; may be given more than once
    #[arg(long, value_name = "URL")]
    pub(super) registry: Vec<String>,
    /// The CA that the registries' certificates come from (PEM) [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(super) registry_ca: Option<PathBuf>,
    /// The address at which the node's services are reached [default: that of the default route]
    #[arg(long, value_name = "IP")]
    pub(super) node_address: Option<Ipv4Addr>,
    /// The name of the pods' bridge
    #[arg(long, value_name = "NAME")]
    pub(super) bridge: Option<String>,
    /// A label of the node, as KEY=VALUE; may be given more than once
    #[arg(long, value_name = "K=V")]
    pub(super) labels: Vec<String>,
    /// Seconds between two beats [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(super) beat_interval: Option<u64>,
    /// Seconds of the MQTT keep-alive [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(super) keep_alive: Option<u64>,
    /// Stop every pod when the agent ends, and leave nothing behind
    #[arg(long)]
    pub(super) stop_pods_on_exit: bool,
    /// What the file alone may say.
    #[arg(skip)]
    pub(super) node: NodeSettings,
    /// Where in the file each setting stands.
    #[arg(skip)]
    pub(super) places: BTreeMap<&'static str, String>,
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

impl Settings {
    /// These settings, and where they are silent those of the file.
    pub(crate) fn over(self, file: Self) -> Self {
        let or = |a: Vec<String>, b: Vec<String>| if a.is_empty() { b } else { a };
        let given = self.given();
        let mut places = file.places;
        places.retain(|key, _| !given.contains(key));
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
            stop_pods_on_exit: self.stop_pods_on_exit,
            node: file.node,
            places,
        }
    }

    /// Which of the settings that are checked later are set.
    fn given(&self) -> Vec<&'static str> {
        let set = [
            ("identity", self.identity.is_some()),
            ("node_name", self.node_name.is_some()),
            ("mqtt_url", self.mqtt_url.is_some()),
            ("ca", self.ca.is_some()),
            ("cert", self.cert.is_some()),
            ("key", self.key.is_some()),
            ("hub_key", self.hub_key.is_some()),
            ("registry", !self.registry.is_empty()),
            ("registry_ca", self.registry_ca.is_some()),
            ("bridge", self.bridge.is_some()),
            ("labels", !self.labels.is_empty()),
            ("beat_interval", self.beat_interval.is_some()),
            ("keep_alive", self.keep_alive.is_some()),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }

    /// How a setting is called where it was given: `FILE:LINE: key`, or `--key`.
    pub(super) fn called(&self, key: &'static str) -> String {
        self.places.get(key).cloned().unwrap_or_else(|| format!("--{}", key.replace('_', "-")))
    }

    /// What is wrong with a setting, and where it stands.
    pub(super) fn told(&self, key: &'static str, problem: String) -> String {
        match self.places.get(key) {
            Some(place) => format!("{place}: {problem}"),
            None => problem,
        }
    }

    /// Reads a configuration file: TOML, with the names of the flags and some of its own.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path).map_err(|problem| ConfigError { problems: vec![problem] })?;
        Self::from_toml(path, &text)
    }
}

pub(super) fn read_text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
