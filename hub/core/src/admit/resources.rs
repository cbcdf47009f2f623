//! `resources`: requests and limits.

use super::at::{At, Errors};
use super::{names, quantity};

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
                Some(_) => {}
            }
        }
    }
    for (name, request) in requests.entries() {
        let limit = limits.key(name);
        if let (Some(asked), Some(most)) = (quantity::nanos(request.value), quantity::nanos(limit.value))
            && asked > most
        {
            let shown =
                |at: &At<'_>| at.value.as_str().map_or_else(|| at.value.to_string(), ToOwned::to_owned);
            let detail = format!("must be less than or equal to {name} limit of {}", shown(&limit));
            errors.invalid_value(&requests, shown(&request), &detail);
        }
    }
}

fn name(list: &At<'_>, name: &str, errors: &mut Errors) {
    let at = list.key(name);
    errors.key_texts(&at, name, names::qualified(name));
    if !name.contains('/')
        && !["cpu", "memory", "ephemeral-storage"].contains(&name)
        && !name.starts_with("hugepages-")
    {
        errors.invalid_value(&at, name, "must be a standard resource type or fully qualified");
        errors.invalid_value(&at, name, "must be a standard resource for containers");
    }
}

/// What is allowed and certainly not meant.
pub(super) fn warnings(resources: &At<'_>, warnings: &mut Vec<String>) {
    for list in [resources.field("requests"), resources.field("limits")] {
        let memory = list.key("memory");
        if quantity::nanos(memory.value).is_some_and(|n| n % 1_000_000_000 != 0) {
            warnings.push(format!(
                "{}: fractional byte value {} is invalid, must be an integer",
                memory.path, memory.value
            ));
        }
    }
}
