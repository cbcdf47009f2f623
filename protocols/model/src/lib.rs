//! The documents that hub and agent share: pure types, parsed once at the door, without I/O or a clock.
//!
//! The hub compiles Kubernetes objects into these; an agent needs nothing else to run pods. A document is named by the
//! sha256 of its bytes ([`Digest`]), so how the bytes came (MQTT, CoAP, HTTPS, a USB stick) does not matter.

#![forbid(unsafe_code)]

mod config_blob;
mod desired;
mod digest;
mod envelope;
mod ids;
mod image;
mod manifest;
mod network;
mod observed;
mod quantity;
mod report;
mod time;
mod usage;

pub use config_blob::ConfigBlob;
pub use desired::{Desired, DesiredError, MAX_DESIRED_BYTES, MAX_PODS, PodEntry};
pub use digest::{Digest, DigestError};
pub use envelope::{Envelope, EnvelopeError, SigningKey, VerifyingKey};
pub use ids::{Generation, IdError, NodeName, PodUid, Session};
pub use image::{ImageReference, ReferenceError};
pub use manifest::{
    AppArmorProfile, ConfigVolume, Container, ContainerPort, DnsConfig, DnsPolicy, DownwardFile,
    DownwardValue, DownwardVolume, EnvValue, EnvVar, HookAction, HostAlias, HostPathKind, HttpGet, KeyToPath,
    MAX_MANIFEST_BYTES, Manifest, ManifestError, Mount, MountPropagation, Probe, ProbeAction,
    ProjectedSource, ProjectedVolume, Protocol, PullPolicy, ResizeRestarts, ResourceField, Resources,
    RestartPolicy, SeccompProfile, Security, Volume, VolumeSource,
};
pub use network::{Backend, Network, NodeRoute, Service, ServiceKind, ServicePort};
pub use observed::{
    ContainerState, ContainerStatus, PodPhase, PodStatus, Resize, RolledBack, Terminated, state_hash,
};
pub use quantity::{ByteSize, CpuMillis, QuantityError, parse_quantity_nanos};
pub use report::{EventKind, NodeCondition, NodeEvent, NodeInfo, Report};
pub use time::{Timestamp, TimestampError};
pub use usage::{ContainerUsage, NodeUsage, PodUsage, Usage};
