//! A pod's volumes.

use std::collections::BTreeSet;

use super::{has_parent, mount, projected};
use crate::admit::at::{At, Errors};
use crate::admit::{names, quantity};

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
    host_path(&volume.field("hostPath"), errors);
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
    let downward = volume.field("downwardAPI");
    mode(&downward.field("defaultMode"), errors);
    for item in downward.field("items").items() {
        projected::downward_file(&item, errors);
    }
    projected::validate(&volume.field("projected"), errors);
}

fn host_path(source: &At<'_>, errors: &mut Errors) {
    if !source.is_set() {
        return;
    }
    let path = source.field("path");
    if path.text().is_empty() {
        errors.required(&path, "");
    } else if has_parent(path.text()) {
        errors.invalid(&path, "must not contain '..'");
    } else if !path.text().starts_with('/') {
        errors.invalid(&path, "must be an absolute path");
    }
    let types =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    errors.one_of(&source.field("type"), &types);
}

/// Checks an item of a ConfigMap or Secret.
pub(super) fn key_to_path(item: &At<'_>, errors: &mut Errors) {
    let key = item.field("key");
    if key.text().is_empty() {
        errors.required(&key, "");
    }
    file_path(&item.field("path"), errors);
    mode(&item.field("mode"), errors);
}

/// Checks the path of a file in a volume.
pub(super) fn file_path(path: &At<'_>, errors: &mut Errors) {
    if path.text().is_empty() {
        errors.required(path, "");
        return;
    }
    mount::below(path, errors);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        errors.invalid(path, "must not start with '..'");
    }
}

/// Checks mode bits.
pub(super) fn mode(mode: &At<'_>, errors: &mut Errors) {
    if mode.int().is_some_and(|m| !(0..=0o777).contains(&m)) {
        errors.invalid(mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}
