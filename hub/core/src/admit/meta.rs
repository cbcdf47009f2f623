//! `metadata`: what a client may write there, and what the hub keeps.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::at::{At, Errors};
use super::{AdmitContext, names};
use crate::Kind;

/// All annotations of an object together: keys and values.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;

/// Fields of metadata that only the hub writes.
const OWN: &[&str] =
    &["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// Whether the kind counts changes of its spec in `metadata.generation`.
pub(super) fn has_generation(kind: &Kind) -> bool {
    [Kind::DEPLOYMENT, Kind::REPLICA_SET, Kind::POD].contains(&kind)
}

/// Stamps what the hub owns of a new object.
pub(super) fn prepare_create(cx: AdmitContext<'_>, kind: &Kind, object: &mut Map<String, Value>) {
    let Some(meta) = meta_of(object) else { return };
    for name in
        ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"]
    {
        meta.remove(name);
    }
    meta.insert("creationTimestamp".to_owned(), json!(cx.now.to_string()));
    if has_generation(kind) {
        meta.insert("generation".to_owned(), json!(1));
    }
}

/// Keeps what the hub owns; a changed spec is a new generation.
pub(super) fn prepare_update(kind: &Kind, old: &Value, object: &mut Map<String, Value>) {
    let spec_changed = old.get("spec") != object.get("spec");
    let Some(meta) = meta_of(object) else { return };
    for name in OWN {
        match old.pointer(&format!("/metadata/{name}")) {
            Some(value) => meta.insert((*name).to_owned(), value.clone()),
            None => meta.remove(*name),
        };
    }
    if has_generation(kind) {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(1);
        meta.insert(
            "generation".to_owned(),
            json!(if spec_changed { generation.saturating_add(1) } else { generation }),
        );
    }
}

/// The object's metadata, made where it is missing.
fn meta_of(object: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    let meta = object.entry("metadata").or_insert_with(|| json!({}));
    if meta.is_null() {
        *meta = json!({});
    }
    meta.as_object_mut()
}

/// Checks the metadata of a whole object.
pub(super) fn validate(kind: &Kind, meta: &At<'_>, errors: &mut Errors) {
    let check = name_check(kind);
    let generate = meta.field("generateName");
    if !generate.text().is_empty() {
        // What is generated from it must be a name: a trailing dash is cut off before looking.
        let prefix = generate.text().trim_end_matches('-');
        errors.texts(&generate, check(if prefix.is_empty() { "a" } else { prefix }));
    }
    let name = meta.field("name");
    if name.text().is_empty() {
        errors.required(&name, "name or generateName is required");
    } else {
        errors.texts(&name, check(name.text()));
    }
    let namespace = meta.field("namespace");
    match (kind.is_namespaced(), namespace.text()) {
        (true, "") => errors.required(&namespace, ""),
        (true, text) => errors.texts(&namespace, names::label(text)),
        (false, "") => {}
        (false, _) => errors.forbidden(&namespace, "not allowed on this type"),
    }
    labels(&meta.field("labels"), errors);
    annotations(&meta.field("annotations"), errors);
    owners(&meta.field("ownerReferences"), errors);
    for finalizer in meta.field("finalizers").items() {
        errors.texts(&finalizer, names::qualified(finalizer.text()));
        if names::qualified(finalizer.text()).is_empty()
            && !finalizer.text().contains('/')
            && !["orphan", "foregroundDeletion", "kubernetes"].contains(&finalizer.text())
        {
            errors.invalid(&finalizer, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

fn name_check(kind: &Kind) -> fn(&str) -> names::Problems {
    match kind.kind {
        "Namespace" => names::label,
        "Service" => names::dns_1035,
        _ => names::subdomain,
    }
}

/// Checks labels, of an object or of a pod template.
pub(super) fn labels(labels: &At<'_>, errors: &mut Errors) {
    for (key, value) in labels.entries() {
        errors.key_texts(labels, key, names::qualified(key));
        errors.key_texts(labels, value.text(), names::label_value(value.text()));
    }
}

/// Checks annotations, of an object or of a pod template.
pub(super) fn annotations(annotations: &At<'_>, errors: &mut Errors) {
    let mut bytes = 0;
    for (key, value) in annotations.entries() {
        errors.key_texts(annotations, key, names::qualified(&key.to_lowercase()));
        bytes += key.len() + value.text().len();
    }
    if bytes > MAX_ANNOTATION_BYTES {
        errors.too_long(annotations, MAX_ANNOTATION_BYTES);
    }
}

fn owners(owners: &At<'_>, errors: &mut Errors) {
    let mut controllers = Vec::new();
    for owner in owners.items() {
        if owner.field("apiVersion").text().is_empty() {
            errors.invalid_value(&owner.field("apiVersion"), "", "version must not be empty");
        }
        for name in ["kind", "name", "uid"] {
            if owner.field(name).text().is_empty() {
                errors.invalid_value(&owner.field(name), "", &format!("{name} must not be empty"));
            }
        }
        if owner.field("controller").is_true() {
            controllers.push(owner.field("name").text());
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        errors.invalid(owners, &detail);
    }
}

/// What may not change in an object's metadata.
pub(super) fn validate_update(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    for name in ["name", "namespace"] {
        errors.immutable(&old.field(name), &new.field(name));
    }
    if old.field("deletionTimestamp").is_set() {
        let known = old.field("finalizers");
        let known: BTreeSet<&str> = known.items().iter().map(At::text).collect();
        let added: Vec<&str> =
            new.field("finalizers").items().iter().map(At::text).filter(|f| !known.contains(f)).collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.forbidden(&new.field("finalizers"), &detail);
        }
    }
}
