//! The HTTP client of one registry: its TLS, redirects and time limits.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{ClientIdentity, Registry, Scheme};

/// A gateway's link may be slow to answer, but not this slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may come. A whole layer may take hours.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Registries redirect once, to their storage.
const MAX_REDIRECTS: usize = 5;

/// Why no client could be made; always a matter of configuration.
#[derive(Debug, thiserror::Error)]
#[error("configuration of registry {host}: {reason}")]
pub(crate) struct SetupError {
    pub(crate) host: String,
    pub(crate) reason: String,
}

pub(crate) fn http_client(registry: &Registry) -> Result<reqwest::Client, SetupError> {
    let wrong = |reason: String| SetupError { host: registry.host.clone(), reason };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("gannet/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(Policy::custom(|attempt| {
            let downgrade = attempt.previous().iter().any(|url| url.scheme() == "https")
                && attempt.url().scheme() != "https";
            if downgrade {
                attempt.error("redirected from https to http")
            } else if attempt.previous().len() > MAX_REDIRECTS {
                attempt.error("too many redirects")
            } else {
                attempt.follow()
            }
        }))
        .tls_backend_preconfigured(tls(registry).map_err(wrong)?);
    builder.build().map_err(|e| wrong(crate::remote::client::root_cause(&e)))
}

fn tls(registry: &Registry) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match (&registry.ca_pem, registry.scheme) {
        (Some(pem), _) => {
            for cert in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let cert = cert.map_err(|e| format!("CA certificate: {e}"))?;
                roots.add(cert).map_err(|e| format!("CA certificate: {e}"))?;
            }
            if roots.is_empty() {
                return Err("CA certificate: no certificate in the PEM text".into());
            }
        }
        (None, Scheme::Https) => {
            // Some roots that do not parse are normal; none at all shows in the handshake.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        // A plain registry may still redirect or send for a token elsewhere; without roots that fails, as it should.
        (None, Scheme::Http) => {}
    }
    // The provider is named: the process default is ambiguous where two are linked in.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let mut config = match &registry.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = parse(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|e| format!("client certificate: {e}"))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn parse(
    identity: &ClientIdentity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.cert_pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| format!("client certificate: {e}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).map_err(|e| format!("client key: {e}"))?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_pem_is_named() {
        let check = |registry: Registry, expect: &str| {
            let got = http_client(&registry).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(got.contains(expect), "{got} does not say {expect}");
        };
        check(
            Registry { ca_pem: Some("nothing".into()), ..Registry::https("a.b") },
            "registry a.b: CA certificate: no",
        );
        let identity = ClientIdentity { cert_pem: String::new(), key_pem: String::new() };
        check(Registry { identity: Some(identity), ..Registry::https("a.b") }, "client key");
        assert!(http_client(&Registry::http("127.0.0.1:1")).is_ok());
    }
}
