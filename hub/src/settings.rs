//! How a hub is set up: flags, checked whole before anything is opened.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use gannet_hub_pki::SanName;

/// What `gannet hub` and `gannet up` share.
#[derive(Debug, Clone, Args)]
pub(crate) struct HubArgs {
    /// Where everything lies that must survive.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/gannet", env = "GANNET_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// Where the Kubernetes API listens.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7443", env = "GANNET_API_ADDRESS")]
    pub(crate) api_address: SocketAddr,
    /// Where the built-in image registry listens: plain HTTP on loopback, TLS with a certificate of the fleet elsewhere.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5000", env = "GANNET_REGISTRY_ADDRESS")]
    pub(crate) registry_address: Vec<SocketAddr>,
    /// Where the embedded MQTT broker listens, with mutual TLS.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8883", env = "GANNET_MQTT_ADDRESS")]
    pub(crate) mqtt_address: Vec<SocketAddr>,
    /// Use this broker instead of the embedded one: mqtt://HOST:PORT or mqtts://HOST:PORT.
    #[arg(long, value_name = "URL", env = "GANNET_MQTT_URL")]
    pub(crate) mqtt_url: Option<String>,
    /// Where other hubs reach this one (Raft, with mutual TLS).
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7444", env = "GANNET_RAFT_ADDRESS")]
    pub(crate) raft_address: SocketAddr,
    /// Log lines as JSON, for machines.
    #[arg(long)]
    pub(crate) json_logs: bool,
}

impl HubArgs {
    /// The names and addresses that the hub's certificate has to hold.
    pub(crate) fn names(&self) -> Vec<SanName> {
        let dns =
            ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(SanName::from);
        let listening = [self.api_address, self.raft_address].into_iter();
        let listening =
            listening.chain(self.registry_address.iter().copied()).chain(self.mqtt_address.iter().copied());
        let mut addresses: Vec<IpAddr> =
            listening.map(|a| a.ip()).filter(|ip| !ip.is_unspecified()).collect();
        addresses.push(IpAddr::from([127, 0, 0, 1]));
        // A hub that listens everywhere is reached at whatever addresses the machine has.
        addresses.extend(crate::machine::addresses());
        addresses.sort();
        addresses.dedup();
        let host = crate::machine::hostname();
        let host = host.as_deref().map(SanName::from);
        dns.into_iter().chain(host).chain(addresses.into_iter().map(SanName::from)).collect()
    }
}

/// The address at which something that listens here is reached from this machine.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port()),
        ip => SocketAddr::new(ip, address.port()),
    }
}
