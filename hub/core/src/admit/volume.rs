//! A pod's volumes.

use std::collections::BTreeSet;

use super::at::{At, Errors};
use super::{container, names, quantity};

/// Checks a pod's volumes and answers with their names.
pub(super) fn validate<'a>(volumes: &At<'a>, errors: &mut Errors) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    for volume in volumes.items() {
        let name = volume.field("name");
        if name.text().is_empty() {
            errors.required(&name, "");
        } else {
            errors.texts(&name, names::label(name.text()));
            if !all.insert(name.text()) {
                errors.duplicate(&name);
            }
        }
        sources(&volume, errors);
    }
    all
}

fn sources(volume: &At<'_>, errors: &mut Errors) {
    let fields = volume.value.as_object().into_iter().flatten();
    let set: Vec<&str> = fields
        .filter(|(name, value)| *name != "name" && !value.is_null())
        .map(|(name, _)| name.as_str())
        .collect();
    match set.as_slice() {
        [] => errors.required(volume, "must specify a volume type"),
        [_] => {}
        [_, second, ..] => errors.forbidden(&volume.field(second), "may not specify more than 1 volume type"),
    }
    let limit = volume.fields(&["emptyDir", "sizeLimit"]);
    if limit.is_set() && quantity::nanos(limit.value).is_none_or(|n| n < 0) {
        errors.invalid(&limit, "SizeLimit field must be a valid resource quantity");
    }
    let path = volume.fields(&["hostPath", "path"]);
    if volume.field("hostPath").is_set() {
        if path.text().is_empty() {
            errors.required(&path, "");
        } else if container::has_parent(path.text()) {
            errors.invalid(&path, "must not contain '..'");
        } else if !path.text().starts_with('/') {
            errors.invalid(&path, "must be an absolute path");
        }
        let types = [
            "",
            "DirectoryOrCreate",
            "Directory",
            "FileOrCreate",
            "File",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ];
        errors.one_of(&volume.fields(&["hostPath", "type"]), &types);
    }
    for (source, name) in [("configMap", "name"), ("secret", "secretName")] {
        let source = volume.field(source);
        if !source.is_set() {
            continue;
        }
        let name = source.field(name);
        if name.text().is_empty() {
            errors.required(&name, "");
        }
        mode(&source.field("defaultMode"), errors);
        for item in source.field("items").items() {
            key_to_path(&item, errors);
        }
    }
}

fn key_to_path(item: &At<'_>, errors: &mut Errors) {
    let (key, path) = (item.field("key"), item.field("path"));
    if key.text().is_empty() {
        errors.required(&key, "");
    }
    if path.text().is_empty() {
        errors.required(&path, "");
    } else if path.text().starts_with('/') {
        errors.invalid(&path, "must be a relative path");
    } else if container::has_parent(path.text()) {
        errors.invalid(&path, "must not contain '..'");
    } else if path.text().starts_with("..") {
        errors.invalid(&path, "must not start with '..'");
    }
    mode(&item.field("mode"), errors);
}

fn mode(mode: &At<'_>, errors: &mut Errors) {
    if mode.int().is_some_and(|m| !(0..=0o777).contains(&m)) {
        errors.invalid(mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}
