//! Volumes of a pod, and where a container has them.

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::{ByteSize, Digest};

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
    /// Files of several sources in one folder.
    Projected(ProjectedVolume),
    /// Files made of the pod's own fields.
    DownwardApi(DownwardVolume),
}

/// `projected`. Where two sources name the same path, the later one wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectedVolume {
    /// Mode bits of files that name none.
    pub default_mode: u32,
    /// What is put into it, in order. The `default_mode` of a source counts nothing here.
    pub sources: Vec<ProjectedSource>,
}

/// One source of a projected volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ProjectedSource {
    /// Keys of a ConfigMap.
    ConfigMap(ConfigVolume),
    /// Keys of a Secret: with one of these the volume is in memory only.
    Secret(ConfigVolume),
    /// Fields of the pod.
    DownwardApi(Vec<DownwardFile>),
}

/// `downwardAPI` as a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownwardVolume {
    /// Mode bits of files that name none.
    pub default_mode: u32,
    /// The files.
    pub items: Vec<DownwardFile>,
}

/// One field of the pod as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownwardFile {
    /// The relative path of the file.
    pub path: String,
    /// What is in it.
    pub value: DownwardValue,
    /// Its mode bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

/// What a downward file or variable holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum DownwardValue {
    /// A field of the pod: `metadata.name`, `metadata.labels`, `metadata.annotations['key']`, …
    Field(String),
    /// A request or limit of a container.
    Resource(ResourceField),
}

/// `resourceFieldRef`, with its rules: a limit that is not set is what the node can give; the quotient is rounded up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceField {
    /// Of which container; the one that has the variable where it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// `limits.cpu`, `requests.memory`, `limits.ephemeral-storage`, …
    pub resource: String,
    /// In thousandths: 1000 is `1`, 1 is `1m`, 1048576000 is `1Mi`.
    pub divisor_millis: u64,
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
    /// As `sub_path`, with `$(VAR)` expanded from the container's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path_expr: Option<String>,
    /// Whether mounts made later show on the other side.
    #[serde(default, skip_serializing_if = "is_default")]
    pub propagation: MountPropagation,
}

/// `mountPropagation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MountPropagation {
    /// Neither way.
    #[default]
    None,
    /// Later mounts of the node show in the container.
    HostToContainer,
    /// Both ways; privileged containers alone may.
    Bidirectional,
}
