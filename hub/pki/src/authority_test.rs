use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use std::time::Duration;

use super::*;
use crate::leaf::seconds;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

#[test]
fn made_once_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::open_or_create(dir.path(), now()).unwrap();
    let again = Authority::open_or_create(dir.path(), now().plus(DAY)).unwrap();
    assert_eq!(first.ca_pem(), again.ca_pem());
    assert_eq!(first.signing_key().verifying_key(), again.signing_key().verifying_key());
    for file in ["ca.crt", "ca.key", "signing.key"] {
        let mode = fs::metadata(dir.path().join("pki").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // Leaves of the opened authority are signed by the same key.
    let identity = again.issue_client("admin", &["system:masters"], now()).unwrap();
    assert!(still_good(&identity, first.ca_pem(), &[], now()));
}

#[test]
fn a_crash_between_key_and_certificate_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    drop(Authority::open_or_create(dir.path(), now()).unwrap());
    let pki = dir.path().join("pki");
    let key = fs::read(pki.join("ca.key")).unwrap();
    fs::remove_file(pki.join("ca.crt")).unwrap();
    fs::write(pki.join("ca.crt.new"), "torn").unwrap();
    drop(Authority::open_or_create(dir.path(), now()).unwrap());
    assert_eq!(fs::read(pki.join("ca.key")).unwrap(), key);
    assert!(pki.join("ca.crt").exists());
}

#[test]
fn damaged_folders_are_refused() {
    let check = |damage: &dyn Fn(&Path), expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        drop(Authority::open_or_create(dir.path(), now()).unwrap());
        damage(&dir.path().join("pki"));
        let error = Authority::open_or_create(dir.path(), now()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|pki| fs::remove_file(pki.join("ca.key")).unwrap(), "restore the key");
    check(&|pki| fs::write(pki.join("ca.key"), "no key").unwrap(), "ca.key is not a private key");
    check(&|pki| fs::write(pki.join("ca.crt"), "").unwrap(), "ca.crt is not the certificate of ca.key");
    check(&|pki| fs::write(pki.join("signing.key"), "AAAA").unwrap(), "signing.key is not 32 bytes");
    check(&|pki| fs::write(pki.join("signing.key"), vec![b'A'; 70_000]).unwrap(), "cannot read");
    check(
        &|pki| {
            let other = tempfile::tempdir().unwrap();
            drop(Authority::open_or_create(other.path(), now()).unwrap());
            fs::copy(other.path().join("pki/ca.crt"), pki.join("ca.crt")).unwrap();
        },
        "it is for another key",
    );
}

#[test]
fn names_in_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), now()).unwrap();
    let check = |name: &str, organizations: &[&str]| {
        let identity = authority.issue_client(name, organizations, now()).unwrap();
        let found = peer_identity(identity.chain().unwrap().first().unwrap()).unwrap();
        assert_eq!(found.common_name, name);
        assert_eq!(found.organizations, organizations);
        assert!(!found.is_hub());
    };
    check("admin", &["system:masters"]);
    check("system:node:edge-1", &["system:nodes"]);
    check("nobody", &[]);
    check("two", &["a", "b"]);
    assert!(authority.issue_client("three", &["a", "b", "c"], now()).is_err());

    let server =
        authority.issue_server(&["localhost".into(), "127.0.0.1".into(), "::1".into()], now()).unwrap();
    assert!(peer_identity(server.chain().unwrap().first().unwrap()).unwrap().is_hub());
    assert!(peer_identity(b"no certificate").is_err());
}

#[test]
fn lifetimes() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), now()).unwrap();
    let check = |pem: &str, years: i64| {
        let chain = certificates(pem).unwrap();
        let (_, found) = X509Certificate::from_der(chain.first().unwrap()).unwrap();
        let (start, end) = (found.validity().not_before.timestamp(), found.validity().not_after.timestamp());
        assert_eq!(seconds(now()) - start, 24 * 60 * 60);
        assert_eq!(end - seconds(now()), years * 365 * 24 * 60 * 60);
    };
    check(authority.ca_pem(), 20);
    check(&authority.issue_server(&["hub".into()], now()).unwrap().cert_pem, 1);
}

#[test]
fn kept_identities_are_renewed_when_they_must() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), now()).unwrap();
    let names: Vec<SanName> = vec!["127.0.0.1".into(), "localhost".into()];
    let first = authority.ensure_server("api", &names, now()).unwrap();
    let check = |names: &[SanName], after_days: u32, same: bool| {
        let found = authority.ensure_server("api", names, now().plus(DAY * after_days)).unwrap();
        assert_eq!(found.cert_pem == first.cert_pem, same, "{names:?} after {after_days} days");
    };
    check(&names, 0, true);
    check(&names, 300, true);
    check(&["localhost".into(), "127.0.0.1".into()], 0, true);
    check(&names, 310, false);
    check(&["elsewhere".into()], 0, false);

    let admin = authority.ensure_client("admin", "admin", &["system:masters"], now()).unwrap();
    let same = authority.ensure_client("admin", "admin", &["system:masters"], now()).unwrap();
    let other = authority.ensure_client("admin", "other", &["system:masters"], now()).unwrap();
    assert_eq!(admin.cert_pem, same.cert_pem);
    assert_ne!(admin.cert_pem, other.cert_pem);

    // A pair torn apart by a crash is no pair.
    fs::write(dir.path().join("pki/admin.key"), &admin.key_pem).unwrap();
    let mended = authority.ensure_client("admin", "other", &["system:masters"], now()).unwrap();
    assert_ne!(mended.cert_pem, other.cert_pem);
}
