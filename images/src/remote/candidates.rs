//! Where an image may be found: pure.

use std::fmt;

use gannet_protocols_model::ImageReference;

use crate::{Registry, RegistryConfig};

/// One place to ask for an image.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Whom to ask.
    pub registry: Registry,
    /// The repository's name there.
    pub repository: String,
    /// The tag or digest there.
    pub version: String,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.version.contains(':') { '@' } else { ':' };
        write!(f, "{}/{}{separator}{}", self.registry.host, self.repository, self.version)
    }
}

/// The places to ask, in order.
pub(crate) fn candidates(reference: &ImageReference, config: &RegistryConfig) -> Vec<Candidate> {
    let registries = match reference.host() {
        None => config.search.clone(),
        Some(host) => {
            let known = config.hosts.iter().chain(&config.search).find(|registry| registry.host == host);
            vec![known.cloned().unwrap_or_else(|| Registry::https(host))]
        }
    };
    registries.into_iter().map(|registry| at(reference, registry)).collect()
}

/// An image at a registry.
pub(crate) fn at(reference: &ImageReference, registry: Registry) -> Candidate {
    // A digest wins over a tag: it is what was meant when both were written.
    let version = match reference.digest() {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or("latest").to_owned(),
    };
    let path = reference.path();
    let repository = if registry.is_docker_hub() && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    Candidate { registry, repository, version }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    fn check(reference: &str, expect: &[&str]) {
        let config = RegistryConfig {
            hosts: vec![Registry::http("lab.example:5000")],
            ..RegistryConfig::new(vec![Registry::http("127.0.0.1:5000"), Registry::https("docker.io")])
        };
        let got: Vec<String> = candidates(&reference.parse().unwrap(), &config)
            .iter()
            .map(|c| format!("{}{c}", if c.registry.scheme == Scheme::Http { "http " } else { "" }))
            .collect();
        assert_eq!(got, expect, "{reference}");
    }

    #[test]
    fn names_lead_to_registries() {
        let digest = format!("sha256:{}", "0".repeat(64));
        check(
            "my-web-app",
            &["http 127.0.0.1:5000/my-web-app:latest", "docker.io/library/my-web-app:latest"],
        );
        check("team/app:v1", &["http 127.0.0.1:5000/team/app:v1", "docker.io/team/app:v1"]);
        check("docker.io/busybox:1", &["docker.io/library/busybox:1"]);
        check("ghcr.io/o/r:v1", &["ghcr.io/o/r:v1"]);
        check("127.0.0.1:5000/a", &["http 127.0.0.1:5000/a:latest"]);
        check("lab.example:5000/a", &["http lab.example:5000/a:latest"]);
        check(&format!("ghcr.io/o/r:v1@{digest}"), &[&format!("ghcr.io/o/r@{digest}")]);
    }

    #[test]
    fn the_hub_of_docker_answers_elsewhere() {
        assert_eq!(Registry::https("docker.io").base_url(), "https://registry-1.docker.io");
        assert_eq!(Registry::http("127.0.0.1:5000").base_url(), "http://127.0.0.1:5000");
    }
}
