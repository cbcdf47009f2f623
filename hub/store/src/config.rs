//! How a store is set up.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// A store's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that the store owns.
    pub dir: PathBuf,
    /// This hub among the hubs; never given to another, also not after this one is gone.
    pub node_id: u64,
    /// What an empty folder becomes.
    pub start: Start,
    /// Where other hubs find this one, and how it finds them. Without it this hub stays alone.
    pub network: Option<Network>,
    /// How many events watches can go back. 32 MB of values at most, whatever this says.
    pub history: usize,
    /// After how many log entries a snapshot is made and the log before it removed.
    pub snapshot_every: u64,
    /// After how long a snapshot is made if anything changed: bounds what a lost database costs.
    pub snapshot_interval: Duration,
    /// Raft's clocks.
    pub timing: Timing,
}

/// What an empty folder becomes; one that is not empty goes on as what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A cluster of this one voter.
    Bootstrap,
    /// Nothing, until a leader adds it ([`crate::Store::add_learner`]).
    Join,
}

/// The Raft network.
#[derive(Debug, Clone)]
pub struct Network {
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Under which `host:port` the others reach it; the certificate has to name the host. Port 0 stands for the one that
    /// was chosen.
    pub advertise: String,
    /// With whom it talks.
    pub tls: PeerTls,
}

/// Decides by the verified certificate whether a peer is a hub: nodes and people have certificates of the same CA.
pub type Admit = dyn Fn(&CertificateDer<'_>) -> bool + Send + Sync;

/// Mutual TLS between hubs.
#[derive(Clone)]
pub struct PeerTls {
    /// The listener's side; it has to require a client certificate.
    pub server: Arc<ServerConfig>,
    /// The caller's side, with a client certificate.
    pub client: Arc<ClientConfig>,
    /// Who is let in.
    pub admit: Arc<Admit>,
}

/// Raft's clocks. An append to a peer has to be answered within a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader reports to its followers.
    pub heartbeat: Duration,
    /// How long a follower waits at least before it stands for election.
    pub election_min: Duration,
    /// And at most.
    pub election_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(300),
            election_min: Duration::from_millis(1200),
            election_max: Duration::from_millis(2400),
        }
    }
}

impl Config {
    /// One hub, alone, in this folder.
    pub fn single(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            node_id: 1,
            start: Start::Bootstrap,
            network: None,
            history: 10_000,
            snapshot_every: 10_000,
            snapshot_interval: Duration::from_secs(15 * 60),
            timing: Timing::default(),
        }
    }
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").finish_non_exhaustive()
    }
}
