//! Required node affinity.

use crate::admit::at::{At, Errors};
use crate::admit::names;

/// Checks `affinity.nodeAffinity`.
pub(super) fn node(affinity: &At<'_>, errors: &mut Errors) {
    let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution");
    if !required.is_set() {
        return;
    }
    let terms = required.field("nodeSelectorTerms");
    if terms.items().is_empty() {
        errors.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        for expression in term.field("matchExpressions").items() {
            self::expression(&expression, errors);
        }
        for field in term.field("matchFields").items() {
            self::field(&field, errors);
        }
    }
}

fn expression(expression: &At<'_>, errors: &mut Errors) {
    let (key, operator, values) =
        (expression.field("key"), expression.field("operator"), expression.field("values"));
    let count = values.items().len();
    match operator.text() {
        "In" | "NotIn" if count == 0 => {
            errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if count > 0 => {
            errors.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Exists" | "DoesNotExist" => {}
        "Gt" | "Lt" if count != 1 => {
            errors.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "Gt" | "Lt" => {}
        _ => errors.invalid(&operator, "not a valid selector operator"),
    }
    errors.texts(&key, names::qualified(key.text()));
}

fn field(field: &At<'_>, errors: &mut Errors) {
    let (key, operator, values) = (field.field("key"), field.field("operator"), field.field("values"));
    match operator.text() {
        "In" | "NotIn" if values.items().len() != 1 => {
            errors.required(
                &values,
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            );
        }
        "In" | "NotIn" => {}
        _ => errors.invalid(&operator, "not a valid selector operator"),
    }
    if key.text() != "metadata.name" {
        errors.invalid(&key, "not a valid field selector key");
    }
}
