//! Reading and writing `metadata` and other fields of objects that are plain JSON.

use gannet_hub_core::{Kind, ObjectKey};
use serde_json::{Map, Value};

/// The value at a path; null where there is none.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(object, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// The text at a path; empty where there is none.
pub fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).as_str().unwrap_or("")
}

/// A text of `metadata`.
pub fn field<'a>(object: &'a Value, name: &str) -> &'a str {
    text(object, &["metadata", name])
}

/// Where the object lives, as it says itself.
pub fn key(object: &Value) -> ObjectKey {
    ObjectKey::new(field(object, "namespace"), field(object, "name"))
}

/// `metadata`, made where it is missing or no object.
pub fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    child(object, "metadata")
}

/// A field that is an object, made where it is missing or something else.
pub fn child<'a>(object: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    let slot = as_map(object).entry(name.to_owned()).or_insert(Value::Null);
    as_map(slot)
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Sets a text of `metadata`, or takes it out when it is empty.
pub fn set_field(object: &mut Value, name: &str, text: &str) {
    if text.is_empty() {
        metadata(object).remove(name);
    } else {
        metadata(object).insert(name.to_owned(), Value::from(text));
    }
}

/// The finalizers that still stand.
pub fn finalizers(object: &Value) -> Vec<&str> {
    at(object, &["metadata", "finalizers"])
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Whether the deletion of the object has begun.
pub fn is_deleting(object: &Value) -> bool {
    !field(object, "deletionTimestamp").is_empty()
}

/// Says what the object is.
pub fn set_type(object: &mut Value, kind: &Kind) {
    let fields = as_map(object);
    fields.insert("apiVersion".to_owned(), Value::from(kind.api_version()));
    fields.insert("kind".to_owned(), Value::from(kind.kind));
}

/// An object as clients see it: with its revision.
pub fn decode(value: &[u8], revision: u64) -> Result<Value, serde_json::Error> {
    let mut object: Value = serde_json::from_slice(value)?;
    set_field(&mut object, "resourceVersion", &revision.to_string());
    Ok(object)
}

/// An object as it is stored: without its revision.
pub fn encode(object: &Value) -> Vec<u8> {
    let mut object = object.clone();
    metadata(&mut object).remove("resourceVersion");
    object.to_string().into_bytes()
}
