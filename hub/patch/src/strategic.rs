//! Strategic merge patch: a merge patch which knows that lists of containers, ports or conditions are maps by a key.
//!
//! The directives are those of Kubernetes: `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/F` and
//! `$setElementOrder/F`.

use gannet_hub_schema::Shape;
use serde_json::{Map, Value};

use crate::order::{identity, reorder};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Why a strategic merge patch does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// The patch as a whole is no object.
    #[error("the patch is not an object")]
    NotAnObject,
    /// `$patch` says something unknown.
    #[error("unknown patch type {found} in map")]
    UnknownDirective {
        /// What it says.
        found: String,
    },
    /// A directive has a value of the wrong type.
    #[error("invalid value of directive {directive}: a list is needed")]
    BadDirective {
        /// The directive.
        directive: String,
    },
    /// A field is set that `$retainKeys` does not keep.
    #[error("{RETAIN_KEYS} directive doesn't contain the field {field} that is set")]
    NotRetained {
        /// The field.
        field: String,
    },
    /// An item of a list that is merged by a key lacks it.
    #[error("{path}: does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The list.
        path: String,
        /// Its merge key.
        key: String,
    },
}

/// Merges `patch` into `object`, which is of this shape; without a shape every list is replaced.
pub fn strategic_merge_patch(
    object: &mut Value,
    patch: &Value,
    shape: Option<Shape>,
) -> Result<(), StrategicError> {
    let Value::Object(patch) = patch else { return Err(StrategicError::NotAnObject) };
    let Value::Object(original) = object else { return Err(StrategicError::NotAnObject) };
    merge_map(original, patch, shape, "")
}

fn merge_map(
    original: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    shape: Option<Shape>,
    path: &str,
) -> Result<(), StrategicError> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(word)) if word == "replace" => {
            *original =
                patch.iter().filter(|(k, _)| *k != PATCH).map(|(k, v)| (k.clone(), v.clone())).collect();
            return Ok(());
        }
        Some(Value::String(word)) if word == "delete" => {
            original.clear();
            return Ok(());
        }
        Some(Value::String(word)) if word == "merge" => {}
        Some(other) => return Err(StrategicError::UnknownDirective { found: other.to_string() }),
    }
    if let Some(keep) = patch.get(RETAIN_KEYS) {
        retain(original, patch, list_of(keep, RETAIN_KEYS)?)?;
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix(DELETE_FROM) {
            let gone = list_of(value, name)?;
            if let Some(Value::Array(items)) = original.get_mut(field) {
                items.retain(|item| !gone.contains(item));
            }
        } else if let Some(field) = name.strip_prefix(SET_ORDER) {
            if !patch.contains_key(field) {
                let order = list_of(value, name)?;
                let child = shape.and_then(|s| s.field(field));
                set_order(original, field, order, child.and_then(|s| s.merge_key()));
            }
        } else if name != PATCH && name != RETAIN_KEYS {
            let order = match patch.get(&format!("{SET_ORDER}{name}")) {
                Some(order) => Some(list_of(order, SET_ORDER)?),
                None => None,
            };
            merge_field(original, name, value, order, shape.and_then(|s| s.field(name)), path)?;
        }
    }
    Ok(())
}

fn merge_field(
    original: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    order: Option<&[Value]>,
    shape: Option<Shape>,
    path: &str,
) -> Result<(), StrategicError> {
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {
            original.remove(name);
        }
        Value::Object(patch) => {
            let deleted = patch.get(PATCH).is_some_and(|word| word == "delete");
            if deleted {
                original.remove(name);
                return Ok(());
            }
            let slot = original.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            if let Value::Object(into) = slot {
                merge_map(into, patch, shape, &path)?;
            }
        }
        Value::Array(patch) if shape.is_some_and(|s| s.merges()) => {
            let live = match original.remove(name) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let merged = merge_list(live, patch, order, shape, &path)?;
            original.insert(name.to_owned(), Value::Array(merged));
        }
        _ => {
            original.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn merge_list(
    live: Vec<Value>,
    patch: &[Value],
    order: Option<&[Value]>,
    shape: Option<Shape>,
    path: &str,
) -> Result<Vec<Value>, StrategicError> {
    let Some(key) = shape.and_then(|s| s.merge_key()) else {
        let mut merged = live.clone();
        for item in patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(reorder(merged, order.unwrap_or(patch), &live, None));
    };
    let replaces = patch.iter().any(|item| item.get(PATCH).is_some_and(|word| word == "replace"));
    let mut merged = if replaces { Vec::new() } else { live.clone() };
    let items = shape.and_then(|s| s.items());
    let mut wanted = Vec::new();
    for item in patch {
        let word = item.get(PATCH).and_then(Value::as_str);
        if word == Some("replace") && item.as_object().is_some_and(|fields| fields.len() == 1) {
            continue;
        }
        let Some(name) = identity(item, Some(key)) else {
            return Err(StrategicError::NoMergeKey { path: path.to_owned(), key: key.to_owned() });
        };
        let at = merged.iter().position(|candidate| identity(candidate, Some(key)) == Some(name));
        if word == Some("delete") {
            if let Some(at) = at {
                merged.remove(at);
            }
            continue;
        }
        let Value::Object(fields) = item else {
            return Err(StrategicError::NoMergeKey { path: path.to_owned(), key: key.to_owned() });
        };
        wanted.push(item.clone());
        let mut into = at.map_or_else(|| Value::Object(Map::new()), |at| merged[at].take());
        if let Value::Object(into) = &mut into {
            merge_map(into, fields, items, path)?;
        }
        match at {
            Some(at) => merged[at] = into,
            None => merged.push(into),
        }
    }
    Ok(reorder(merged, order.unwrap_or(&wanted), &live, Some(key)))
}

fn set_order(original: &mut Map<String, Value>, field: &str, order: &[Value], merge_key: Option<&str>) {
    if let Some(Value::Array(items)) = original.get_mut(field) {
        let live = std::mem::take(items);
        *items = reorder(live.clone(), order, &live, merge_key);
    }
}

fn retain(
    original: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    keep: &[Value],
) -> Result<(), StrategicError> {
    let kept = |name: &str| keep.iter().any(|k| k == name);
    for (name, value) in patch {
        if !name.starts_with('$') && !value.is_null() && !kept(name) {
            return Err(StrategicError::NotRetained { field: name.clone() });
        }
    }
    original.retain(|name, _| kept(name));
    Ok(())
}

fn list_of<'a>(value: &'a Value, directive: &str) -> Result<&'a [Value], StrategicError> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| StrategicError::BadDirective { directive: directive.to_owned() })
}

#[cfg(test)]
#[path = "strategic_test.rs"]
mod tests;
