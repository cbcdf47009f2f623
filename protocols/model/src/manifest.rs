//! What one pod runs, fully resolved, immutable, named by its own digest. Pods with the same spec share one manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ByteSize, CpuMillis, Digest, ImageReference};

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
    /// When ended containers are started again.
    pub restart_policy: RestartPolicy,
    /// Seconds between SIGTERM and SIGKILL.
    pub termination_grace_seconds: u32,
    /// Whose name servers the pod uses.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dns_policy: DnsPolicy,
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

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Unique in the pod.
    pub name: String,
    /// The image, as the operator wrote it.
    pub image: ImageReference,
    /// When the registry is asked.
    pub pull_policy: PullPolicy,
    /// Replaces the image's entry point. `$(VAR)` is expanded from the environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the image's arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Replaces the image's working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// In order: a later name wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Ports by name, for probes and services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    /// What the container asks for and may use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Volumes and where they appear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// User, capabilities, seccomp.
    #[serde(default, skip_serializing_if = "is_default")]
    pub security: Security,
    /// Failing restarts the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// Failing takes the pod out of services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// Holds the other probes back until it succeeded once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
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
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Ask each time; an image that is there is used where no registry answers.
    Always,
    /// Only what the node lacks.
    IfNotPresent,
    /// Not at all.
    Never,
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvVar {
    /// The variable's name. Empty with [`EnvValue::All`].
    pub name: String,
    /// Where its value comes from.
    pub value: EnvValue,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum EnvValue {
    /// The text itself; `$(VAR)` is expanded.
    Text(String),
    /// A field of the pod: `metadata.name`, `status.podIP`, …
    Field(String),
    /// A key of a [`crate::ConfigBlob`]. Keeps Secrets out of the manifest.
    Key {
        /// The blob.
        blob: Digest,
        /// The key in it.
        key: String,
    },
    /// Each key of a [`crate::ConfigBlob`] as a variable, its name behind this prefix (`envFrom`).
    All {
        /// The blob.
        blob: Digest,
        /// Goes before each name.
        prefix: String,
    },
    /// The object or key does not exist: the container waits with `CreateContainerConfigError` and this message. A
    /// container that already runs is left alone.
    Missing(String),
}

/// A port that a container listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerPort {
    /// Its name, by which services and probes may refer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number in the pod.
    pub port: u16,
    /// TCP or UDP.
    #[serde(default)]
    pub protocol: Protocol,
    /// A port of the node that leads here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

/// Requests and limits; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// CPU kept free by the scheduler; the cgroup's weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_request: Option<CpuMillis>,
    /// CPU that is never exceeded; the cgroup's quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<CpuMillis>,
    /// Memory kept free by the scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_request: Option<ByteSize>,
    /// Memory beyond which the container is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<ByteSize>,
}

/// A volume in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// The absolute path in the container.
    pub path: String,
    /// Without write access.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// A path inside the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
}

/// User, capabilities and filters of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// Replaces the image's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<u32>,
    /// Replaces the image's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<u32>,
    /// Refuse to start as user 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_as_non_root: bool,
    /// Further groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplemental_groups: Vec<u32>,
    /// The root file system cannot be written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only_root: bool,
    /// All devices, capabilities and no filter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// `Some(false)` sets no-new-privileges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_privilege_escalation: Option<bool>,
    /// Capabilities beyond the default set, without `CAP_`; `ALL` is every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities_add: Vec<String>,
    /// Capabilities taken from the default set; `ALL` is every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities_drop: Vec<String>,
    /// The system call filter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seccomp: SeccompProfile,
}

/// `seccompProfile`. Gateways filter by default, as container engines do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SeccompProfile {
    /// The engines' default list of system calls.
    #[default]
    RuntimeDefault,
    /// No filter.
    Unconfined,
}

/// How to find out whether a container is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What is tried.
    pub action: ProbeAction,
    /// Seconds after the start before the first try.
    pub initial_delay_seconds: u32,
    /// Seconds between tries.
    pub period_seconds: u32,
    /// Seconds that a try may take.
    pub timeout_seconds: u32,
    /// Successes in a row that make it well.
    pub success_threshold: u32,
    /// Failures in a row that make it unwell.
    pub failure_threshold: u32,
}

/// What a probe tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ProbeAction {
    /// A command in the container; exit code 0 is well.
    Exec(Vec<String>),
    /// A GET; 200 to 399 is well.
    Http {
        /// The port in the pod.
        port: u16,
        /// The path, with a leading slash.
        path: String,
        /// Whether TLS is spoken (without checking the certificate, as kubelet does).
        tls: bool,
        /// The host to ask; the pod where there is none.
        host: Option<String>,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// A connection that opens is well.
    Tcp {
        /// The port in the pod.
        port: u16,
        /// The host to ask; the pod where there is none.
        host: Option<String>,
    },
}

/// A volume of the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Unique in the pod.
    pub name: String,
    /// What is in it.
    pub source: VolumeSource,
}

/// What a volume holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum VolumeSource {
    /// Empty at first, gone with the pod.
    EmptyDir {
        /// In memory (tmpfs) instead of on disk.
        memory: bool,
        /// How large it may grow.
        size_limit: Option<ByteSize>,
    },
    /// Files from a [`crate::ConfigBlob`] of a ConfigMap.
    ConfigMap(ConfigVolume),
    /// Files from a [`crate::ConfigBlob`] of a Secret; in memory only.
    Secret(ConfigVolume),
    /// A path of the node.
    HostPath {
        /// The absolute path.
        path: String,
        /// What must be there.
        kind: HostPathKind,
    },
}

/// Files made from keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigVolume {
    /// The blob; `None` where the object does not exist.
    pub blob: Option<Digest>,
    /// Set where the object or a key does not exist and is not optional: the pod's containers wait with
    /// `CreateContainerConfigError` and this message. A container that already runs is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Mode bits of files that name none.
    pub default_mode: u32,
    /// Only these keys, at these paths; all keys at their own names where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<KeyToPath>,
}

/// One key as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyToPath {
    /// The key.
    pub key: String,
    /// The relative path of the file.
    pub path: String,
    /// Its mode bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// `hostPath.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathKind {
    /// Not checked.
    Any,
    /// A directory, made where it is missing.
    DirectoryOrCreate,
    /// A directory that is there.
    Directory,
    /// A file, made where it is missing.
    FileOrCreate,
    /// A file that is there.
    File,
    /// A Unix socket that is there.
    Socket,
    /// A character device that is there.
    CharDevice,
    /// A block device that is there.
    BlockDevice,
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
            EnvValue::Text(_) | EnvValue::Field(_) | EnvValue::Missing(_) => None,
        });
        let files = self.volumes.iter().filter_map(|v| match &v.source {
            VolumeSource::ConfigMap(c) | VolumeSource::Secret(c) => c.blob,
            VolumeSource::EmptyDir { .. } | VolumeSource::HostPath { .. } => None,
        });
        let unique: BTreeMap<Digest, ()> = env.chain(files).map(|d| (d, ())).collect();
        unique.into_keys().collect()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
