//! Probes and hooks of a container.

use serde::{Deserialize, Serialize};

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
    /// Replaces the pod's grace where this probe ends the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
}

/// What a probe tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ProbeAction {
    /// A command in the container; exit code 0 is well.
    Exec(Vec<String>),
    /// A GET; 200 to 399 is well.
    Http(HttpGet),
    /// A connection that opens is well.
    Tcp {
        /// The port in the pod.
        port: u16,
        /// The host to ask; the pod where there is none.
        host: Option<String>,
    },
    /// The health service of gRPC (`grpc.health.v1`); `SERVING` is well.
    Grpc {
        /// The port in the pod.
        port: u16,
        /// Whose health is asked for; the server's where it is empty.
        service: String,
    },
}

/// A GET of a probe or a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpGet {
    /// The port in the pod.
    pub port: u16,
    /// The path, with a leading slash.
    pub path: String,
    /// Whether TLS is spoken (without checking the certificate, as kubelet does).
    pub tls: bool,
    /// The host to ask; the pod where there is none.
    pub host: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// `lifecycle.postStart` and `lifecycle.preStop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum HookAction {
    /// A command in the container; any other exit code than 0 is a failure.
    Exec(Vec<String>),
    /// A GET; any status below 400 is well.
    Http(HttpGet),
    /// Nothing but a wait, in seconds.
    Sleep(u32),
}
