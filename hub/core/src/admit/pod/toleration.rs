//! Tolerations.

use serde_json::json;

use crate::admit::at::{At, Errors};
use crate::admit::names;

/// Checks one toleration.
pub(super) fn validate(toleration: &At<'_>, errors: &mut Errors) {
    let (key, operator) = (toleration.field("key"), toleration.field("operator"));
    if !key.text().is_empty() {
        errors.texts(&key, names::qualified(key.text()));
    } else if operator.text() != "Exists" {
        errors.invalid(
            &operator,
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    let effect = toleration.field("effect");
    if toleration.field("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
        errors.invalid_value(
            &effect,
            json!(effect.text()),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        );
    }
    let value = toleration.field("value");
    match operator.text() {
        "Exists" if !value.text().is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.invalid_value(&operator, json!(value.text()), detail);
        }
        "Exists" => {}
        "" | "Equal" => {
            let problems = names::label_value(value.text());
            if !problems.is_empty() {
                errors.invalid_value(&operator, json!(value.text()), &problems.join(";"));
            }
        }
        _ => errors.one_of(&operator, &["Equal", "Exists"]),
    }
    if !effect.text().is_empty() {
        errors.one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}
