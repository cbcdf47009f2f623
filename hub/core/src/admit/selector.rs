//! `spec.selector` of workloads.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

use super::at::{At, Errors};
use super::names;

/// Checks a label selector.
pub(super) fn validate(selector: &At<'_>, errors: &mut Errors) {
    let labels = selector.field("matchLabels");
    for (key, value) in labels.entries() {
        errors.key_texts(&labels, key, names::qualified(key));
        errors.key_texts(&labels, value.text(), names::label_value(value.text()));
    }
    for expression in selector.field("matchExpressions").items() {
        let (key, operator, values) =
            (expression.field("key"), expression.field("operator"), expression.field("values"));
        match operator.text() {
            "In" | "NotIn" if values.items().is_empty() => {
                errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" if !values.items().is_empty() => {
                errors
                    .forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Exists" | "DoesNotExist" => {}
            _ => errors.invalid(&operator, "not a valid selector operator"),
        }
        errors.texts(&key, names::qualified(key.text()));
        for value in values.items() {
            errors.texts(&value, names::label_value(value.text()));
        }
    }
}

/// Whether a selector asks for nothing.
pub(super) fn is_empty(selector: &At<'_>) -> bool {
    selector.field("matchLabels").entries().is_empty()
        && selector.field("matchExpressions").items().is_empty()
}

/// Whether labels fulfil a selector. What does not decode matches nothing.
pub(super) fn matches(selector: &At<'_>, labels: &At<'_>) -> bool {
    let wanted = LabelSelector::deserialize(selector.value);
    let labels = Option::<BTreeMap<String, String>>::deserialize(labels.value);
    match (wanted, labels) {
        (Ok(wanted), Ok(labels)) => crate::control::selector::matches(&wanted, &labels.unwrap_or_default()),
        _ => false,
    }
}
