//! Which registries are asked, and how.

use std::fmt;

use crate::Platform;

/// All that a pull needs to know about the world outside.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// For names without a host: asked in order, the next only where one says that it has no such image. One that does
    /// not answer ends the search: else whoever owns the same name at the next registry could take its place.
    pub search: Vec<Registry>,
    /// Registries that are asked only where a name says so, but differ from the default (TLS by the system's roots).
    pub hosts: Vec<Registry>,
    /// Which image of an index is taken.
    pub platform: Platform,
}

impl RegistryConfig {
    /// This search list, for this machine.
    pub fn new(search: Vec<Registry>) -> Self {
        Self { search, hosts: Vec::new(), platform: Platform::of_this_build() }
    }
}

/// One registry.
#[derive(Debug, Clone)]
pub struct Registry {
    /// `host[:port]`, as in image names.
    pub host: String,
    /// Plain HTTP only where it is named here.
    pub scheme: Scheme,
    /// Trusted instead of the system's roots.
    pub ca_pem: Option<String>,
    /// The certificate that is shown to it.
    pub identity: Option<ClientIdentity>,
    /// For registries that ask who is there.
    pub credentials: Option<Credentials>,
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// A client certificate and its key, PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate and its chain.
    pub cert_pem: String,
    /// The private key.
    pub key_pem: String,
}

/// A user name and its password or token.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Registry {
    /// A registry with TLS and the system's roots.
    pub fn https(host: &str) -> Self {
        Self { host: host.into(), scheme: Scheme::Https, ca_pem: None, identity: None, credentials: None }
    }

    /// A registry without TLS.
    pub fn http(host: &str) -> Self {
        Self { scheme: Scheme::Http, ..Self::https(host) }
    }

    /// Where its API lies. Docker Hub's is not at the host of its image names.
    pub(crate) fn base_url(&self) -> String {
        let host = if self.is_docker_hub() { "registry-1.docker.io" } else { self.host.as_str() };
        match self.scheme {
            Scheme::Http => format!("http://{host}"),
            Scheme::Https => format!("https://{host}"),
        }
    }

    pub(crate) fn is_docker_hub(&self) -> bool {
        matches!(self.host.as_str(), "docker.io" | "index.docker.io")
    }
}

// Keys and passwords stay out of logs.
impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}
