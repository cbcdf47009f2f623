//! ConfigMaps and Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::at::{At, Errors};
use super::names;

/// All values of a Secret or ConfigMap together.
const MAX_DATA_BYTES: usize = 1 << 20;

/// Moves `stringData` into `data`.
pub(super) fn merge_string_data(object: &mut Map<String, Value>) {
    let Some(Value::Object(texts)) = object.remove("stringData") else { return };
    let data = object.entry("data").or_insert_with(|| json!({}));
    if data.is_null() {
        *data = json!({});
    }
    if let Some(data) = data.as_object_mut() {
        for (key, text) in texts {
            data.insert(key, json!(STANDARD.encode(text.as_str().unwrap_or_default())));
        }
    }
}

/// Keys that a Secret of a type must have.
const REQUIRED: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

/// Checks a Secret.
pub(super) fn secret(object: &At<'_>, errors: &mut Errors) {
    let data = object.field("data");
    let mut bytes = 0;
    for (key, value) in data.entries() {
        errors.key_texts(&value, key, names::config_key(key));
        match STANDARD.decode(value.text()) {
            Ok(decoded) => bytes += decoded.len(),
            Err(_) => errors.invalid_value(&value, "<redacted>", "must be base64"),
        }
    }
    if bytes > MAX_DATA_BYTES {
        errors.too_long(&data, MAX_DATA_BYTES);
    }
    let ty = object.field("type").text();
    for key in REQUIRED.iter().filter(|(t, _)| *t == ty).flat_map(|(_, keys)| keys.iter()) {
        let value = data.key(key);
        if !value.is_set() {
            errors.required(&value, "");
        } else if key.starts_with(".docker")
            && !STANDARD.decode(value.text()).is_ok_and(|d| serde_json::from_slice::<Value>(&d).is_ok())
        {
            errors.invalid_value(&value, "<secret contents redacted>", "must be JSON");
        }
    }
    let either = [data.key("username"), data.key("password")];
    if ty == "kubernetes.io/basic-auth" && !either.iter().any(At::is_set) {
        errors.required(&either[0], "");
        errors.required(&either[1], "");
    }
}

/// Checks a ConfigMap.
pub(super) fn config_map(object: &At<'_>, errors: &mut Errors) {
    let (data, binary) = (object.field("data"), object.field("binaryData"));
    let mut bytes = 0;
    for (key, value) in data.entries() {
        errors.key_texts(&value, key, names::config_key(key));
        if binary.key(key).is_set() {
            errors.invalid_value(&value, key, "duplicate of key present in binaryData");
        }
        bytes += value.text().len();
    }
    for (key, value) in binary.entries() {
        errors.key_texts(&value, key, names::config_key(key));
        bytes += STANDARD.decode(value.text()).map_or(value.text().len(), |d| d.len());
    }
    if bytes > MAX_DATA_BYTES {
        errors.too_long(&At { path: "[]".to_owned(), value: object.value }, MAX_DATA_BYTES);
    }
}

/// What may not change: a Secret's type, and anything of an immutable one.
pub(super) fn validate_update(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    errors.immutable(&old.field("type"), &new.field("type"));
    if !old.field("immutable").is_true() {
        return;
    }
    if !new.field("immutable").is_true() {
        errors.forbidden(&new.field("immutable"), "field is immutable when `immutable` is set");
    }
    let is_empty = |at: &At<'_>| at.entries().is_empty();
    for name in ["data", "binaryData"] {
        let (before, after) = (old.field(name), new.field(name));
        if before.value != after.value && !(is_empty(&before) && is_empty(&after)) {
            errors.forbidden(&after, "field is immutable when `immutable` is set");
        }
    }
}
