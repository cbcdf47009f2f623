//! The patch that `apply` sends: from what the file says now, what it said before and what is there.

use serde_json::{Map, Value};

/// The fields by which items of lists are told apart, as Kubernetes merges them. The first that all items have counts.
const KEYS: [&str; 6] = ["name", "mountPath", "devicePath", "containerPort", "port", "ip"];

/// The merge patch (RFC 7386) from `live` to what `wanted` says, removing what `last` set and `wanted` lacks. None where
/// nothing differs.
pub(crate) fn three_way(last: &Value, wanted: &Value, live: &Value) -> Option<Value> {
    let (Some(wanted), Some(live_fields)) = (wanted.as_object(), live.as_object()) else {
        let wanted = merged(last, wanted, live);
        return (wanted != *live).then_some(wanted);
    };
    let mut patch = Map::new();
    for (field, value) in wanted {
        match live_fields.get(field) {
            Some(there) => {
                if let Some(inner) = three_way(&last[field], value, there) {
                    patch.insert(field.clone(), inner);
                }
            }
            None if value.is_null() => (),
            None => drop(patch.insert(field.clone(), value.clone())),
        }
    }
    for field in last.as_object().into_iter().flat_map(Map::keys) {
        if !wanted.contains_key(field) && live_fields.contains_key(field) {
            patch.insert(field.clone(), Value::Null);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// What is to be there. A merge patch replaces lists whole, so items of a list keep here what the hub filled in (node
/// ports, defaults) and what others added.
fn merged(last: &Value, wanted: &Value, live: &Value) -> Value {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            let mut all = live.clone();
            for field in last.as_object().into_iter().flat_map(Map::keys) {
                if !wanted.contains_key(field) {
                    all.remove(field);
                }
            }
            for (field, value) in wanted {
                let there = live.get(field).unwrap_or(&Value::Null);
                all.insert(field.clone(), merged(&last[field], value, there));
            }
            Value::Object(all)
        }
        (Value::Array(items), Value::Array(there)) => {
            let Some(key) = key(items, there) else { return wanted.clone() };
            let before = last.as_array().map(Vec::as_slice).unwrap_or_default();
            let find = |list: &[Value], item: &Value| list.iter().find(|i| i[key] == item[key]).cloned();
            let mut all: Vec<Value> = Vec::with_capacity(items.len());
            for item in items {
                let (last, live) = (find(before, item), find(there, item));
                all.push(merged(&last.unwrap_or_default(), item, &live.unwrap_or_default()));
            }
            let foreign = |item: &&Value| find(items, item).is_none() && find(before, item).is_none();
            all.extend(there.iter().filter(foreign).cloned());
            Value::Array(all)
        }
        _ => wanted.clone(),
    }
}

/// The field that tells the items of both lists apart.
fn key(wanted: &[Value], live: &[Value]) -> Option<&'static str> {
    let apart = |list: &[Value], key: &str| {
        let values: Vec<&Value> = list.iter().filter_map(|item| item.get(key)).collect();
        values.len() == list.len() && values.iter().enumerate().all(|(at, v)| !values[..at].contains(v))
    };
    KEYS.into_iter().find(|key| apart(wanted, key) && apart(live, key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(last: Value, wanted: Value, live: Value, expect: Value) {
        assert_eq!(three_way(&last, &wanted, &live).unwrap_or(Value::Null), expect);
    }

    #[test]
    fn fields() {
        check(json!({}), json!({"a": 1}), json!({"a": 1, "b": 2}), json!(null));
        check(json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "c": 3}), json!({"a": null, "b": 2}));
        check(
            json!({"a": {"x": 1}}),
            json!({"a": {"y": 1}}),
            json!({"a": {"x": 1, "z": 1}}),
            json!({"a": {"x": null, "y": 1}}),
        );
        check(json!({"a": 1}), json!({}), json!({}), json!(null));
        check(json!({}), json!({"a": null}), json!({}), json!(null));
        check(json!({}), json!({"l": [1]}), json!({"l": [1, 2]}), json!({"l": [1]}));
    }

    #[test]
    fn lists_keep_what_the_hub_filled_in() {
        let live = json!({"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]});
        check(json!({}), json!({"ports": [{"port": 80}]}), live.clone(), json!(null));
        check(
            json!({"ports": [{"port": 80}]}),
            json!({"ports": [{"port": 80, "targetPort": 8080}]}),
            live.clone(),
            json!({"ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080, "targetPort": 8080}]}),
        );
        check(
            json!({"ports": [{"port": 80}]}),
            json!({"ports": [{"port": 81}]}),
            live,
            json!({"ports": [{"port": 81}]}),
        );
    }

    #[test]
    fn lists_lose_what_the_file_lost_and_keep_what_others_added() {
        let live = json!({"c": [{"name": "a", "image": "1", "tty": true}, {"name": "side"}, {"name": "b"}]});
        check(
            json!({"c": [{"name": "a", "image": "1", "tty": true}, {"name": "b"}]}),
            json!({"c": [{"name": "a", "image": "2"}]}),
            live,
            json!({"c": [{"name": "a", "image": "2"}, {"name": "side"}]}),
        );
        check(
            json!({"e": [{"name": "X", "value": "1"}]}),
            json!({"e": [{"name": "X", "valueFrom": {}}]}),
            json!({"e": [{"name": "X", "value": "1"}]}),
            json!({"e": [{"name": "X", "valueFrom": {}}]}),
        );
    }
}
