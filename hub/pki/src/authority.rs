//! The certificate authority: made at first start, kept in `DIR/pki`, signs the leaves.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gannet_protocols_model::{SigningKey, Timestamp};
use rcgen::{
    BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::files;
use crate::identity::{HUB_ORGANIZATION, Identity, certificates, peer_identity};
use crate::leaf::{CA_LIFETIME, LEAF_LIFETIME, MAX_ORGANIZATIONS, SanName, params, still_good};

/// Why the authority cannot be opened or cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file is there, but is not what its name says.
    #[error("{} is not {expected}: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The certificate is there and its key is not: whoever moved it has to bring it back.
    #[error("{} exists, but its key {} does not; restore the key, or remove both to start a new fleet", cert.display(), key.display())]
    KeyLost {
        /// The certificate.
        cert: PathBuf,
        /// The missing key.
        key: PathBuf,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate for {name:?}")]
    Sign {
        /// For whom.
        name: String,
        #[source]
        source: rcgen::Error,
    },
    /// More organizations than a certificate of ours can carry.
    #[error("{name:?} has {found} organizations, at most {MAX_ORGANIZATIONS} are possible")]
    TooManyOrganizations {
        /// For whom.
        name: String,
        /// How many were asked for.
        found: usize,
    },
    /// No random bytes.
    #[error("cannot draw random bytes: {reason}")]
    Random {
        /// What the system said.
        reason: String,
    },
}

/// The fleet's root: the CA's key and certificate, and the key that signs desired documents.
pub struct Authority {
    dir: PathBuf,
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    signing_key: SigningKey,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority in `DIR/pki`, making at first start what is not there.
    pub fn open_or_create(dir: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let dir = dir.join("pki");
        files::ensure_folder(&dir).map_err(|e| file_error("write", &dir, e))?;
        let (cert_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
        let cert = read(&cert_path)?;
        let key = match read(&key_path)? {
            Some(pem) => {
                KeyPair::from_pem(&pem).map_err(|e| content_error(&key_path, "a private key in PEM", e))?
            }
            None if cert.is_some() => return Err(AuthorityError::KeyLost { cert: cert_path, key: key_path }),
            None => {
                let key = new_key("the authority")?;
                write(&key_path, &key.serialize_pem())?;
                key
            }
        };
        // The key is written first: a crash between the two leaves a key whose certificate is made here.
        let ca_pem = match cert {
            Some(pem) => pem,
            None => {
                let pem = self_signed(&key, now)?;
                write(&cert_path, &pem)?;
                pem
            }
        };
        check_pair(&cert_path, &ca_pem, &key)?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key)
            .map_err(|e| content_error(&cert_path, "a certificate in PEM", e))?;
        let signing_key = open_signing_key(&dir.join("signing.key"))?;
        Ok(Self { dir, ca_pem, issuer, signing_key })
    }

    /// The CA's certificate: what everybody trusts.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The key that signs desired documents.
    pub fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }

    /// A certificate for a listener of the hub (API, broker, registry, Raft); also valid as the client side of Raft.
    pub fn issue_server(&self, names: &[SanName], now: Timestamp) -> Result<Identity, AuthorityError> {
        let common_name = match names.first() {
            Some(SanName::Dns(name)) => name.clone(),
            Some(SanName::Ip(address)) => address.to_string(),
            None => "gannet-hub".to_owned(),
        };
        let purposes = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&common_name, &[HUB_ORGANIZATION], names, purposes, now)
    }

    /// A certificate for a client: a person (`admin`, `system:masters`) or a node (`system:node:NAME`, `system:nodes`).
    pub fn issue_client(
        &self,
        common_name: &str,
        organizations: &[&str],
        now: Timestamp,
    ) -> Result<Identity, AuthorityError> {
        self.issue(common_name, organizations, &[], vec![ExtendedKeyUsagePurpose::ClientAuth], now)
    }

    /// The server identity kept as `DIR/pki/FILE.crt` and `.key`; issued where it is missing, near its end, or for other names.
    pub fn ensure_server(
        &self,
        file: &str,
        names: &[SanName],
        now: Timestamp,
    ) -> Result<Identity, AuthorityError> {
        self.ensure(file, names, now, || self.issue_server(names, now))
    }

    /// The client identity kept as `DIR/pki/FILE.crt` and `.key`; issued where it is missing, near its end, or for another name.
    pub fn ensure_client(
        &self,
        file: &str,
        common_name: &str,
        organizations: &[&str],
        now: Timestamp,
    ) -> Result<Identity, AuthorityError> {
        let fresh = || self.issue_client(common_name, organizations, now);
        let kept = self.ensure(file, &[], now, fresh)?;
        let named = kept.chain().ok().and_then(|chain| peer_identity(chain.first()?).ok());
        if named.is_some_and(|n| n.common_name == common_name && n.organizations == organizations) {
            return Ok(kept);
        }
        let identity = fresh()?;
        self.keep(file, &identity)?;
        Ok(identity)
    }

    fn ensure(
        &self,
        file: &str,
        names: &[SanName],
        now: Timestamp,
        issue: impl FnOnce() -> Result<Identity, AuthorityError>,
    ) -> Result<Identity, AuthorityError> {
        let cert = read(&self.dir.join(format!("{file}.crt")))?;
        let key = read(&self.dir.join(format!("{file}.key")))?;
        if let (Some(cert_pem), Some(key_pem)) = (cert, key) {
            let kept = Identity { cert_pem, key_pem };
            if still_good(&kept, &self.ca_pem, names, now) {
                return Ok(kept);
            }
        }
        let identity = issue()?;
        self.keep(file, &identity)?;
        Ok(identity)
    }

    /// Key and certificate belong together: a crash between the two writes leaves a pair that `still_good` refuses.
    fn keep(&self, file: &str, identity: &Identity) -> Result<(), AuthorityError> {
        write(&self.dir.join(format!("{file}.key")), &identity.key_pem)?;
        write(&self.dir.join(format!("{file}.crt")), &identity.cert_pem)
    }

    fn issue(
        &self,
        common_name: &str,
        organizations: &[&str],
        names: &[SanName],
        purposes: Vec<ExtendedKeyUsagePurpose>,
        now: Timestamp,
    ) -> Result<Identity, AuthorityError> {
        let sign_error = |source| AuthorityError::Sign { name: common_name.to_owned(), source };
        if organizations.len() > MAX_ORGANIZATIONS {
            let name = common_name.to_owned();
            return Err(AuthorityError::TooManyOrganizations { name, found: organizations.len() });
        }
        let mut params = params(common_name, organizations, now, LEAF_LIFETIME);
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name {
                SanName::Dns(name) => name.as_str().try_into().map(SanType::DnsName),
                SanName::Ip(address) => Ok(SanType::IpAddress(*address)),
            })
            .collect::<Result<_, _>>()
            .map_err(sign_error)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = purposes;
        params.use_authority_key_identifier_extension = true;
        let key = new_key(common_name)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(sign_error)?;
        Ok(Identity { cert_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn self_signed(key: &KeyPair, now: Timestamp) -> Result<String, AuthorityError> {
    let mut params = params("gannet fleet CA", &["gannet"], now, CA_LIFETIME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params
        .self_signed(key)
        .map_err(|source| AuthorityError::Sign { name: "the authority".into(), source })?;
    Ok(certificate.pem())
}

fn check_pair(path: &Path, ca_pem: &str, key: &KeyPair) -> Result<(), AuthorityError> {
    let wrong = |reason: String| AuthorityError::Content {
        path: path.to_owned(),
        expected: "the certificate of ca.key",
        reason,
    };
    let chain = certificates(ca_pem).map_err(|e| wrong(e.to_string()))?;
    let der = chain.first().ok_or_else(|| wrong("no certificate".into()))?;
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| wrong(e.to_string()))?;
    if certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw() {
        Ok(())
    } else {
        Err(wrong("it is for another key".into()))
    }
}

fn open_signing_key(path: &Path) -> Result<SigningKey, AuthorityError> {
    let wrong = |reason: String| AuthorityError::Content {
        path: path.to_owned(),
        expected: "32 bytes in base64",
        reason,
    };
    if let Some(text) = read(path)? {
        let bytes = BASE64.decode(text.trim()).map_err(|e| wrong(e.to_string()))?;
        let seed: [u8; 32] = bytes.try_into().map_err(|b: Vec<u8>| wrong(format!("{} bytes", b.len())))?;
        return Ok(SigningKey::from_seed(&seed));
    }
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|e| AuthorityError::Random { reason: e.to_string() })?;
    write(path, &format!("{}\n", BASE64.encode(seed)))?;
    Ok(SigningKey::from_seed(&seed))
}

fn new_key(name: &str) -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|source| AuthorityError::Sign { name: name.to_owned(), source })
}

fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    files::read(path).map_err(|e| file_error("read", path, e))
}

fn write(path: &Path, text: &str) -> Result<(), AuthorityError> {
    files::write(path, text).map_err(|e| file_error("write", path, e))
}

fn file_error(doing: &'static str, path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File { doing, path: path.to_owned(), source }
}

fn content_error(path: &Path, expected: &'static str, e: rcgen::Error) -> AuthorityError {
    AuthorityError::Content { path: path.to_owned(), expected, reason: e.to_string() }
}

#[cfg(test)]
#[path = "authority_test.rs"]
mod tests;
