//! Pod templates: their hash, and whether two are the same.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::control::names::SAFE_ALPHABET;

/// The label by which the ReplicaSets of a Deployment tell their pods apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The hash of a template: FNV-1a over its JSON (fields in the order of the type, maps sorted) and the number of
/// collisions so far, in the alphabet of generated names.
pub(super) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    // Typed objects of strings, numbers and maps always serialize.
    let json = serde_json::to_vec(template).unwrap_or_default();
    let collisions = collisions.map(i32::to_le_bytes);
    let mut hash: u32 = 0x811c_9dc5;
    for &byte in json.iter().chain(collisions.iter().flatten()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let safe = |digit: u8| char::from(SAFE_ALPHABET[usize::from(digit) % SAFE_ALPHABET.len()]);
    hash.to_string().bytes().map(safe).collect()
}

/// Whether two templates are the same to the byte, but for the hash label. Cheap; what it misses finds [`is_alike`].
pub(super) fn is_same(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    a.spec == b.spec && plain(a.metadata.as_ref()) == plain(b.metadata.as_ref())
}

/// Whether two templates mean the same, but for the hash label: what is empty counts as absent.
pub(super) fn is_alike(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    is_same(a, b) || meaning(a) == meaning(b)
}

fn plain(meta: Option<&ObjectMeta>) -> ObjectMeta {
    let mut meta = meta.cloned().unwrap_or_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH_LABEL);
    }
    meta.labels = meta.labels.filter(|labels| !labels.is_empty());
    meta
}

fn meaning(template: &PodTemplateSpec) -> Value {
    let bare =
        PodTemplateSpec { metadata: Some(plain(template.metadata.as_ref())), spec: template.spec.clone() };
    let mut value = serde_json::to_value(bare).unwrap_or_default();
    prune(&mut value);
    value
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, field| !is_empty(field));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The labels and the hash.
pub(super) fn with_hash(labels: Option<&BTreeMap<String, String>>, hash: &str) -> BTreeMap<String, String> {
    let mut labels = labels.cloned().unwrap_or_default();
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(json: serde_json::Value) -> PodTemplateSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn hashes_are_stable_and_differ() {
        let one = template(serde_json::json!({"spec": {"containers": [{"name": "a", "image": "i:1"}]}}));
        let two = template(serde_json::json!({"spec": {"containers": [{"name": "a", "image": "i:2"}]}}));
        assert_eq!(hash(&one, None), hash(&one, None));
        let all = [hash(&one, None), hash(&two, None), hash(&one, Some(1)), hash(&one, Some(2))];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{all:?}");
        // Names of ReplicaSets that are stored depend on it.
        assert_eq!(all[0], "79ffc48f9");
    }

    #[test]
    fn alike() {
        let base = serde_json::json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a"}]}});
        let cases = [
            (
                serde_json::json!({"metadata": {"labels": {"app": "a", HASH_LABEL: "x"}}, "spec": {"containers": [{"name": "a"}]}}),
                true,
            ),
            (
                serde_json::json!({"metadata": {"labels": {"app": "a"}, "annotations": {}}, "spec": {"containers": [{"name": "a", "env": []}]}}),
                true,
            ),
            (
                serde_json::json!({"metadata": {"labels": {"app": "b"}}, "spec": {"containers": [{"name": "a"}]}}),
                false,
            ),
            (
                serde_json::json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "env": [{"name": "x"}]}]}}),
                false,
            ),
        ];
        for (other, expected) in cases {
            assert_eq!(is_alike(&template(base.clone()), &template(other.clone())), expected, "{other}");
        }
    }
}
