//! A container's probes.

use super::handler;
use crate::admit::at::{At, Errors};

/// Checks a container's probes.
pub(super) fn validate(container: &At<'_>, grace: Option<i64>, errors: &mut Errors) {
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.field(field);
        if !probe.is_set() {
            continue;
        }
        one(&probe, grace, errors);
        let own_grace = probe.field("terminationGracePeriodSeconds");
        if field == "readinessProbe" {
            if own_grace.is_set() {
                errors.invalid(&own_grace, "must not be set for readinessProbes");
            }
        } else if probe.field("successThreshold").int().is_some_and(|n| n != 1) {
            errors.invalid(&probe.field("successThreshold"), "must be 1");
        }
    }
}

fn one(probe: &At<'_>, grace: Option<i64>, errors: &mut Errors) {
    handler::validate(probe, &["exec", "httpGet", "tcpSocket", "grpc"], grace, errors);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        errors.not_negative(&probe.field(field));
    }
    let own_grace = probe.field("terminationGracePeriodSeconds");
    if own_grace.int().is_some_and(|n| n <= 0) {
        errors.invalid(&own_grace, "must be greater than 0");
    }
}
