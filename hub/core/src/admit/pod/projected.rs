//! Volumes of several sources, and files made of the pod's own fields.

use std::collections::BTreeSet;

use serde_json::json;

use super::field;
use super::volume::{file_path, key_to_path, mode};
use crate::admit::at::{At, Errors};

/// Checks a `projected` volume.
pub(super) fn validate(volume: &At<'_>, errors: &mut Errors) {
    mode(&volume.field("defaultMode"), errors);
    let mut paths = BTreeSet::new();
    for source in volume.field("sources").items() {
        let set = source.value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        if set.count() > 1 {
            errors.forbidden(&source, "may not specify more than 1 volume type per source");
        }
        for kind in ["secret", "configMap"] {
            let object = source.field(kind);
            if !object.is_set() {
                continue;
            }
            let name = object.field("name");
            if name.text().is_empty() {
                errors.required(&name, "");
            }
            for item in object.field("items").items() {
                key_to_path(&item, errors);
                let path = item.field("path").text();
                if !path.is_empty() && !paths.insert(path) {
                    errors.invalid_value(volume, json!(name.text()), "conflicting duplicate paths");
                }
            }
        }
        for item in source.fields(&["downwardAPI", "items"]).items() {
            downward_file(&item, errors);
            let path = item.field("path").text();
            if !path.is_empty() && !paths.insert(path) {
                errors.invalid_value(volume, json!(path), "conflicting duplicate paths");
            }
        }
    }
}

/// Checks one file of a downward API volume.
pub(super) fn downward_file(item: &At<'_>, errors: &mut Errors) {
    file_path(&item.field("path"), errors);
    let (of_pod, of_container) = (item.field("fieldRef"), item.field("resourceFieldRef"));
    match (of_pod.is_set(), of_container.is_set()) {
        (true, both) => {
            field::of_pod(&of_pod, field::IN_FILES, errors);
            if both {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.invalid_value(item, json!("resource"), detail);
            }
        }
        (false, true) => field::of_container(&of_container, true, errors),
        (false, false) => errors.required(item, "one of fieldRef and resourceFieldRef is required"),
    }
    mode(&item.field("mode"), errors);
}
