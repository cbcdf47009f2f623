//! TLS of the link: the fleet's CA alone is trusted, and time has the ledger's floor, so that a gateway whose clock
//! starts in 1970 still reaches its hub.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::clock::Clock;
use crate::config::TlsFiles;

#[derive(Debug)]
struct AgentTime(Clock);

impl TimeProvider for AgentTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now().millis())))
    }
}

/// The certificates of a PEM text.
pub(crate) fn certificates(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let list = list.context("not a PEM certificate")?;
    anyhow::ensure!(!list.is_empty(), "no certificate in the PEM text");
    Ok(list)
}

/// The client's side of mutual TLS.
pub(crate) fn client_config(files: &TlsFiles, clock: Clock) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca).context("CA")? {
        roots.add(certificate).context("CA certificate")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(AgentTime(clock)))
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_root_certificates(roots);
    let config = match &files.identity {
        Some(identity) => {
            let chain = certificates(&identity.cert_pem).context("node certificate")?;
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).context("node key")?;
            builder.with_client_auth_cert(chain, key).context("node certificate and key")?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}
