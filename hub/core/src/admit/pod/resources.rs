//! `resources` of a container: requests, limits, and how a change of them is made.

use std::collections::BTreeSet;

use serde_json::json;

use crate::admit::at::{At, Errors};
use crate::admit::{names, quantity};

/// Resources that every node has.
const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Checks a container's requests and limits.
pub(super) fn validate(resources: &At<'_>, errors: &mut Errors) {
    let (limits, requests) = (resources.field("limits"), resources.field("requests"));
    for list in [&limits, &requests] {
        for (name, amount) in list.entries() {
            self::name(list, name, errors);
            match quantity::nanos(amount.value) {
                None => errors.invalid(
                    &amount,
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                ),
                Some(nanos) if nanos < 0 => errors.invalid(&amount, "must be greater than or equal to 0"),
                Some(nanos) if is_extended(name) && nanos % 1_000_000_000 != 0 => {
                    errors.invalid(&amount, "must be an integer");
                }
                Some(_) => {}
            }
        }
    }
    for (name, request) in requests.entries() {
        let limit = limits.key(name);
        if !limit.is_set() {
            if is_extended(name) {
                errors.required(&limits, "Limit must be set for non overcommitable resources");
            }
            continue;
        }
        let shown = |at: &At<'_>| at.value.as_str().map_or_else(|| at.value.to_string(), ToOwned::to_owned);
        if let (Some(asked), Some(most)) = (quantity::nanos(request.value), quantity::nanos(limit.value)) {
            if is_extended(name) && asked != most {
                let detail = format!("must be equal to {name} limit of {}", shown(&limit));
                errors.invalid_value(&requests, shown(&request), &detail);
            } else if asked > most {
                let detail = format!("must be less than or equal to {name} limit of {}", shown(&limit));
                errors.invalid_value(&requests, shown(&request), &detail);
            }
        }
    }
}

/// Whether a resource is one of the node's own, as devices are: counted in whole ones, and never shared.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

fn name(list: &At<'_>, name: &str, errors: &mut Errors) {
    let at = list.key(name);
    errors.key_texts(&at, name, names::qualified(name));
    if !name.contains('/') && !STANDARD.contains(&name) && !name.starts_with("hugepages-") {
        errors.invalid_value(&at, name, "must be a standard resource type or fully qualified");
        errors.invalid_value(&at, name, "must be a standard resource for containers");
    } else if name.starts_with("requests.") {
        errors.invalid_value(&at, name, "doesn't follow extended resource name standard");
    }
}

/// Checks `resizePolicy`.
pub(super) fn resize_policy(policies: &At<'_>, restart_policy: &str, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for policy in policies.items() {
        let (resource, restart) = (policy.field("resourceName"), policy.field("restartPolicy"));
        if !seen.insert(resource.text()) {
            errors.duplicate_value(&policy, json!(resource.text()));
        }
        errors.required_one_of(&resource, &["cpu", "memory"]);
        errors.required_one_of(&restart, &["NotRequired", "RestartContainer"]);
        if restart_policy == "Never" && restart.text() == "RestartContainer" {
            errors.invalid(&restart, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}
