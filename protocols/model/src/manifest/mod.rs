//! What one pod runs, fully resolved, immutable, named by its own digest. Pods with the same spec share one manifest.

mod container;
mod probe;
mod security;
mod volume;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Digest;

pub use container::{
    Container, ContainerPort, EnvValue, EnvVar, Protocol, PullPolicy, ResizeRestarts, Resources,
};
pub use probe::{HookAction, HttpGet, Probe, ProbeAction};
pub use security::{AppArmorProfile, SeccompProfile, Security};
pub use volume::{
    ConfigVolume, DownwardFile, DownwardValue, DownwardVolume, HostPathKind, KeyToPath, Mount,
    MountPropagation, ProjectedSource, ProjectedVolume, ResourceField, Volume, VolumeSource,
};

/// The largest manifest that is accepted.
pub const MAX_MANIFEST_BYTES: usize = 256 << 10;

/// A pod's manifest. Empty and default fields are left out of its JSON.
///
/// A pod's manifest may change while it runs. As in Kubernetes, only a container whose `image` changed is started anew;
/// a changed blob shows in the files of its volumes at once, and in the environment after the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format: 1.
    pub version: u32,
    /// The host name in the pod; the pod's name where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Shares the node's network instead of having an address of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host_network: bool,
    /// Sees the node's processes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host_pid: bool,
    /// Shares the node's System V IPC and message queues.
    #[serde(default, skip_serializing_if = "is_default")]
    pub host_ipc: bool,
    /// The containers see each other's processes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub share_process_namespace: bool,
    /// Root in the pod is nobody on the node (`hostUsers: false`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub user_namespace: bool,
    /// Kernel parameters of the pod's namespaces, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The pod ends after so many seconds (`activeDeadlineSeconds`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u64>,
    /// Which pods go first where the node runs short: those with the smallest number.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// When ended containers are started again.
    pub restart_policy: RestartPolicy,
    /// Seconds between SIGTERM and SIGKILL.
    pub termination_grace_seconds: u32,
    /// Whose name servers the pod uses.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dns_policy: DnsPolicy,
    /// Goes before, and with `None` instead of, what the policy gives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dns_config: DnsConfig,
    /// The domain below the service's in which the pod has its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// The kernel's host name is the whole name, with its domain.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hostname_as_fqdn: bool,
    /// Further lines of `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_aliases: Vec<HostAlias>,
    /// The services of the pod's namespace stand in the environment (`enableServiceLinks`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub service_links: bool,
    /// Run one after the other before the containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<Container>,
    /// Run side by side.
    pub containers: Vec<Container>,
    /// What containers mount, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// The group that owns the volumes (`fsGroup`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_group: Option<u32>,
}

/// `restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Whatever the exit code.
    Always,
    /// Unless the exit code is 0.
    OnFailure,
    /// Not.
    Never,
}

/// `dnsPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DnsPolicy {
    /// The node's DNS server, which knows service names.
    #[default]
    ClusterFirst,
    /// The node's own `resolv.conf`.
    Default,
    /// As `ClusterFirst`, also for a pod on the node's network.
    ClusterFirstWithHostNet,
    /// Only what `dns_config` says.
    None,
}

/// `dnsConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// Addresses of name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<IpAddr>,
    /// Domains in which short names are looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<String>,
    /// Options with their values, as `("ndots", Some("2"))`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<(String, Option<String>)>,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAlias {
    /// The address.
    pub ip: IpAddr,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MAX_MANIFEST_BYTES`].
    #[error("manifest has {size} bytes, more than {MAX_MANIFEST_BYTES}")]
    Size {
        /// Its size in bytes.
        size: usize,
    },
    /// Not the JSON of a manifest.
    #[error("manifest does not parse: {reason}")]
    Form {
        /// What the parser said.
        reason: String,
    },
    /// A format that this program does not know.
    #[error("manifest has version {found}, this program knows 1")]
    Version {
        /// The version found.
        found: u32,
    },
}

impl Manifest {
    /// Reads a manifest whose digest was already checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::Size { size: bytes.len() });
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| ManifestError::Form { reason: e.to_string() })?;
        match manifest.version {
            1 => Ok(manifest),
            found => Err(ManifestError::Version { found }),
        }
    }

    /// The manifest's bytes; its name is their digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        // No map with keys other than strings, no fallible value: always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Init containers, then containers.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// The config blobs that a node needs before it can start the pod, each once, in order.
    pub fn blobs(&self) -> Vec<Digest> {
        let env = self.all_containers().flat_map(|c| &c.env).filter_map(|e| match &e.value {
            EnvValue::Key { blob, .. } | EnvValue::All { blob, .. } => Some(*blob),
            EnvValue::Text(_) | EnvValue::Field(_) | EnvValue::Resource(_) | EnvValue::Missing(_) => None,
        });
        let files = self.volumes.iter().flat_map(|v| match &v.source {
            VolumeSource::ConfigMap(c) | VolumeSource::Secret(c) => vec![c.blob],
            VolumeSource::Projected(p) => p.sources.iter().map(ProjectedSource::blob).collect(),
            VolumeSource::EmptyDir { .. } | VolumeSource::HostPath { .. } | VolumeSource::DownwardApi(_) => {
                Vec::new()
            }
        });
        let files = files.flatten();
        let unique: BTreeMap<Digest, ()> = env.chain(files).map(|d| (d, ())).collect();
        unique.into_keys().collect()
    }
}

impl ProjectedSource {
    fn blob(&self) -> Option<Digest> {
        match self {
            Self::ConfigMap(c) | Self::Secret(c) => c.blob,
            Self::DownwardApi(_) => None,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
