//! The node's certificate and key.

use std::time::Duration;

use gannet_protocols_model::Timestamp;

use super::finding::{Finding, Findings, good, warning, wrong};
use crate::clock::{Clock, wall};
use crate::config::RunConfig;
use crate::tls;

/// A certificate that ends sooner than this is told.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);
const REMEDY: &str = "enrol this node anew: `gannet join`";

pub(super) fn check(findings: &mut Findings, config: &RunConfig) {
    let Some(files) = config.mqtt.as_ref().and_then(|mqtt| mqtt.tls.as_ref()) else { return };
    findings.add("CA certificate", validity(&files.ca, wall()));
    if let Some(identity) = &files.identity {
        findings.add("node certificate", validity(&identity.cert_pem, wall()));
        // Also says where the key is not the certificate's.
        let fits = match tls::client_config(files, Clock::start(wall())) {
            Ok(_) => good("fits the certificate"),
            Err(error) => wrong(format!("{error:#}"), REMEDY),
        };
        findings.add("node key", fits);
    }
}

fn validity(pem: &str, now: Timestamp) -> Finding {
    let certificates = match tls::certificates(pem) {
        Ok(certificates) => certificates,
        Err(error) => return wrong(format!("{error:#}"), REMEDY),
    };
    let Some(first) = certificates.first() else { return wrong("no certificate", REMEDY) };
    let parsed = match x509_parser::parse_x509_certificate(first) {
        Ok((_, parsed)) => parsed,
        Err(error) => return wrong(format!("does not parse: {error}"), REMEDY),
    };
    let time =
        |seconds: i64| Timestamp::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    let (from, until) =
        (time(parsed.validity().not_before.timestamp()), time(parsed.validity().not_after.timestamp()));
    if now < from {
        warning(format!("is valid from {from}, the clock says {now}"), "set the clock")
    } else if now > until {
        wrong(format!("ended at {until}: the hub takes no word of this node; pods run all the same"), REMEDY)
    } else if now.plus(SOON) > until {
        warning(format!("ends at {until}"), REMEDY)
    } else {
        good(format!("valid until {until}"))
    }
}
