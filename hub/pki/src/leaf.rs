//! What goes into a certificate, and whether a kept one still says it.

use std::net::IpAddr;
use std::time::Duration;

use gannet_protocols_model::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::identity::{Identity, certificates};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than a gateway lies in a field: nobody drives there to replace a root.
pub(crate) const CA_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
pub(crate) const LEAF_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// A kept leaf with less than this is made anew.
const RENEW_BEFORE: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// Clocks drift: a leaf is valid from a day ago.
const BACKDATED: Duration = DAY;
/// As many as rcgen can put into one subject; see `params`.
pub(crate) const MAX_ORGANIZATIONS: usize = 2;
const ORGANIZATION_OID: [u64; 4] = [2, 5, 4, 10];

/// A name that a server's certificate is valid for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SanName {
    /// A host's name.
    Dns(String),
    /// A host's address.
    Ip(IpAddr),
}

impl From<&str> for SanName {
    fn from(name: &str) -> Self {
        name.parse().map_or_else(|_| Self::Dns(name.to_owned()), Self::Ip)
    }
}

impl From<IpAddr> for SanName {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

/// Is the kept identity whole, of this CA, for exactly these names, and good for a while?
pub(crate) fn still_good(kept: &Identity, ca_pem: &str, names: &[SanName], now: Timestamp) -> bool {
    let (Ok(chain), Ok(key), Ok(ca)) = (kept.chain(), KeyPair::from_pem(&kept.key_pem), certificates(ca_pem))
    else {
        return false;
    };
    let (Some(Ok((_, leaf))), Some(Ok((_, root)))) = (
        chain.first().map(|c| X509Certificate::from_der(c)),
        ca.first().map(|c| X509Certificate::from_der(c)),
    ) else {
        return false;
    };
    let now = seconds(now);
    let end = leaf.validity().not_after.timestamp();
    let mut has: Vec<SanName> = match leaf.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(san_name).collect(),
        _ => Vec::new(),
    };
    let mut wants = names.to_vec();
    has.sort();
    wants.sort();
    wants.dedup();
    leaf.verify_signature(Some(root.public_key())).is_ok()
        && leaf.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
        && has == wants
        && leaf.validity().not_before.timestamp() <= now
        && end.saturating_sub(now) > i64::try_from(RENEW_BEFORE.as_secs()).unwrap_or(i64::MAX)
}

/// What all certificates have: the subject, and a lifetime from a day ago.
pub(crate) fn params(
    common_name: &str,
    organizations: &[&str],
    now: Timestamp,
    lifetime: Duration,
) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    // rcgen keeps one value a type: the second organization goes under the same OID, spelt out.
    let types = [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION_OID.to_vec())];
    for (kind, organization) in types.into_iter().zip(organizations) {
        subject.push(kind, *organization);
    }
    subject.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    let start = seconds(now).saturating_sub(i64::try_from(BACKDATED.as_secs()).unwrap_or(0)).max(0);
    params.not_before = at(start);
    params.not_after = at(seconds(now).saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)));
    params
}

pub(crate) fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.millis() / 1000).unwrap_or(i64::MAX)
}

fn at(seconds: i64) -> OffsetDateTime {
    // Only a clock past the year 9999 fails here.
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn san_name(name: &GeneralName<'_>) -> Option<SanName> {
    match name {
        GeneralName::DNSName(name) => Some(SanName::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| SanName::Ip(IpAddr::from(b))),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| SanName::Ip(IpAddr::from(b))),
            _ => None,
        },
        _ => None,
    }
}
