//! A certificate with its key, and the name that a peer's certificate carries.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The organization in the certificates of hubs: what lets a Raft peer in. Nodes and people have others.
pub const HUB_ORGANIZATION: &str = "gannet:hubs";

/// A certificate and its private key, both in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The leaf's certificate.
    pub cert_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

/// Who a verified certificate is for, in Kubernetes' words: the user and its groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The subject's CN.
    pub common_name: String,
    /// The subject's Os, in order.
    pub organizations: Vec<String>,
}

/// Why an identity cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate or key is no PEM.
    #[error("the {what} is not PEM")]
    Pem {
        /// Which of the two.
        what: &'static str,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The certificate does not parse.
    #[error("the certificate is not X.509: {reason}")]
    Certificate {
        /// What the parser said.
        reason: String,
    },
    /// The certificate has no usable CN.
    #[error("the certificate's subject has no common name")]
    NoCommonName,
}

impl Identity {
    /// The certificates as rustls wants them, leaf first.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        certificates(&self.cert_pem)
    }

    /// The key as rustls wants it.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, IdentityError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|source| IdentityError::Pem { what: "private key", source })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

impl PeerIdentity {
    /// Is this one of the fleet's hubs?
    pub fn is_hub(&self) -> bool {
        self.organizations.iter().any(|o| o == HUB_ORGANIZATION)
    }
}

/// All certificates of a PEM text; none is an error.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let wrong = |source| IdentityError::Pem { what: "certificate", source };
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if all.is_empty() { Err(wrong(rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(all) }
}

/// The name in a certificate that TLS has verified. Verifies nothing itself.
pub fn peer_identity(cert_der: &[u8]) -> Result<PeerIdentity, IdentityError> {
    let (_, certificate) = X509Certificate::from_der(cert_der)
        .map_err(|e| IdentityError::Certificate { reason: e.to_string() })?;
    let subject = certificate.subject();
    let common_name = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .filter(|name| !name.is_empty())
        .ok_or(IdentityError::NoCommonName)?
        .to_owned();
    let organizations =
        subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    Ok(PeerIdentity { common_name, organizations })
}
