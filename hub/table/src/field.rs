//! Reading fields of objects whose shape nobody promised.

use gannet_protocols_model::Timestamp;
use serde_json::{Map, Value};

use crate::duration::human_duration;

pub(crate) const NONE: &str = "<none>";
pub(crate) const UNKNOWN: &str = "<unknown>";

pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(object, |value, name| value.get(name).unwrap_or(&Value::Null))
}

pub(crate) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).as_str().unwrap_or("")
}

pub(crate) fn int(object: &Value, path: &[&str]) -> i64 {
    at(object, path).as_i64().unwrap_or(0)
}

pub(crate) fn flag(object: &Value, path: &[&str]) -> bool {
    at(object, path).as_bool().unwrap_or(false)
}

pub(crate) fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn map<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    at(object, path).as_object()
}

pub(crate) fn name(object: &Value) -> Value {
    Value::from(text(object, &["metadata", "name"]))
}

/// A text, or `<none>`.
pub(crate) fn or_none(text: &str) -> String {
    if text.is_empty() { NONE.to_owned() } else { text.to_owned() }
}

/// Seconds from an RFC 3339 time to now; `None` where there is no such time.
pub(crate) fn seconds_since(time: &str, now: Timestamp) -> Option<i64> {
    let then: Timestamp = time.parse().ok()?;
    let (now, then) = (i64::try_from(now.millis()).ok()?, i64::try_from(then.millis()).ok()?);
    Some((now - then).div_euclid(1000))
}

/// How long ago, or `<unknown>`.
pub(crate) fn since(time: &str, now: Timestamp) -> String {
    seconds_since(time, now).map_or_else(|| UNKNOWN.to_owned(), human_duration)
}

pub(crate) fn age(object: &Value, now: Timestamp) -> Value {
    Value::from(since(text(object, &["metadata", "creationTimestamp"]), now))
}

/// `a=b,c=d`, or `<none>`.
pub(crate) fn labels(map: Option<&Map<String, Value>>) -> String {
    let mut pairs: Vec<String> = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    or_none(&pairs.join(","))
}

/// A `LabelSelector` as kubectl writes one: `a=b,c in (d,e),f,!g`.
pub(crate) fn selector(selector: &Value) -> String {
    let mut parts: Vec<String> = map(selector, &["matchLabels"])
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for requirement in list(selector, &["matchExpressions"]) {
        let key = text(requirement, &["key"]);
        let mut values: Vec<&str> = list(requirement, &["values"]).iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        parts.push(match text(requirement, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.sort();
    or_none(&parts.join(","))
}

/// The first three items and how many more there are.
pub(crate) fn first_three(items: &[String], empty: &str) -> String {
    match items.len() {
        0 => empty.to_owned(),
        1..=3 => items.join(","),
        more => format!("{} + {} more...", items[..3].join(","), more - 3),
    }
}
