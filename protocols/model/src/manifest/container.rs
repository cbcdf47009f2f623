//! One container of a pod.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::is_default;
use super::probe::{HookAction, Probe};
use super::security::Security;
use super::volume::{Mount, ResourceField};
use crate::{ByteSize, CpuMillis, Digest, ImageReference};

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
    /// Extended resources, each with how many: `devices.gannet.dev/NAME` gives device nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<String, u32>,
    /// A change of the memory or CPU limit needs a restart of the container (`resizePolicy: RestartContainer`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub resize_restarts: ResizeRestarts,
    /// Runs beside the containers, from its turn among the init containers on (`restartPolicy: Always` of one of them).
    #[serde(default, skip_serializing_if = "is_default")]
    pub sidecar: bool,
    /// Right after the start; the container is not ready before it is done, and ends where it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_start: Option<HookAction>,
    /// Before the stop signal, within the grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<HookAction>,
    /// Replaces the image's stop signal, as `SIGUSR1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// The file whose content tells why the container ended; `/dev/termination-log` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_message_path: Option<String>,
    /// Where that file is empty and the container failed, the end of its log tells
    /// (`terminationMessagePolicy: FallbackToLogsOnError`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub termination_message_from_log: bool,
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

/// `resizePolicy`: which changes need a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResizeRestarts {
    /// Those of the CPU.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu: bool,
    /// Those of the memory.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory: bool,
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
    /// A request or limit of a container.
    Resource(ResourceField),
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
    /// Disk for logs, the writable layer and emptyDir volumes, kept free by the scheduler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_request: Option<ByteSize>,
    /// Disk beyond which the pod is evicted (`ephemeral-storage`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_limit: Option<ByteSize>,
}
