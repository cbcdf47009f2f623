//! rustls configurations from an identity and the CA, always with the *ring* provider.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::identity::{Identity, IdentityError, certificates};

/// What a listener asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is asked for.
    None,
    /// A certificate of our CA is verified if there is one; the handler decides about those without.
    Optional,
    /// No connection without a certificate of our CA.
    Required,
}

/// Why a configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The identity or the CA does not parse.
    #[error("cannot read the {what}")]
    Identity {
        /// Whose.
        what: &'static str,
        #[source]
        source: IdentityError,
    },
    /// rustls refuses the pair of certificate and key, or the CA.
    #[error("rustls refuses the {what}")]
    Refused {
        /// Whose.
        what: &'static str,
        #[source]
        source: rustls::Error,
    },
    /// The CA cannot verify clients.
    #[error("the CA cannot verify clients")]
    Verifier {
        #[source]
        source: VerifierBuilderError,
    },
}

/// The configuration of a listener. ALPN is the caller's to set, on a clone.
pub fn server_config(
    identity: &Identity,
    ca_pem: &str,
    clients: ClientAuth,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused { what: "protocol versions", source })?;
    let verifier = |optional: bool| {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider());
        let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
        verifier.build().map_err(|source| TlsError::Verifier { source })
    };
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional => builder.with_client_cert_verifier(verifier(true)?),
        ClientAuth::Required => builder.with_client_cert_verifier(verifier(false)?),
    };
    let (chain, key) = parts(identity)?;
    let config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Refused { what: "server's certificate", source })?;
    Ok(Arc::new(config))
}

/// The configuration of a client that trusts our CA alone, with a certificate of its own where there is one.
pub fn client_config(ca_pem: &str, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused { what: "protocol versions", source })?
        .with_root_certificates(roots(ca_pem)?);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = parts(identity)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| TlsError::Refused { what: "client's certificate", source })?
        }
    };
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(ca_pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem).map_err(|source| TlsError::Identity { what: "CA", source })? {
        roots.add(certificate).map_err(|source| TlsError::Refused { what: "CA", source })?;
    }
    Ok(roots)
}

type Parts = (Vec<rustls_pki_types::CertificateDer<'static>>, rustls_pki_types::PrivateKeyDer<'static>);

fn parts(identity: &Identity) -> Result<Parts, TlsError> {
    let wrong = |source| TlsError::Identity { what: "identity", source };
    Ok((identity.chain().map_err(wrong)?, identity.key().map_err(wrong)?))
}

#[cfg(test)]
#[path = "tls_test.rs"]
mod tests;
