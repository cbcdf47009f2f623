//! Label selectors.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Whether a selector asks for nothing, and so would match everything.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether the labels fulfil all that the selector asks. An operator that is not known matches nothing.
pub(crate) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let wanted = selector.match_labels.iter().flatten();
    if !wanted.into_iter().all(|(k, v)| labels.get(k) == Some(v)) {
        return false;
    }
    selector.match_expressions.iter().flatten().all(|expression| {
        let value = labels.get(&expression.key);
        let listed = |v: &String| expression.values.as_ref().is_some_and(|values| values.contains(v));
        match expression.operator.as_str() {
            "In" => value.is_some_and(listed),
            "NotIn" => !value.is_some_and(listed),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: serde_json::Value, labels: &[(&str, &str)], expected: bool) {
        let labels = labels.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
        assert_eq!(matches(&parsed, &labels), expected, "{selector} on {labels:?}");
    }

    #[test]
    fn operators() {
        let expression = |key: &str, operator: &str, values: &[&str]| serde_json::json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let labels = [("app", "web"), ("tier", "front")];
        check(serde_json::json!({}), &labels, true);
        check(serde_json::json!({"matchLabels": {"app": "web"}}), &labels, true);
        check(serde_json::json!({"matchLabels": {"app": "web", "tier": "back"}}), &labels, false);
        check(expression("app", "In", &["api", "web"]), &labels, true);
        check(expression("app", "In", &["api"]), &labels, false);
        check(expression("app", "NotIn", &["web"]), &labels, false);
        check(expression("zone", "NotIn", &["a"]), &labels, true);
        check(expression("tier", "Exists", &[]), &labels, true);
        check(expression("zone", "Exists", &[]), &labels, false);
        check(expression("zone", "DoesNotExist", &[]), &labels, true);
        check(expression("app", "Like", &["w"]), &labels, false);
    }
}
