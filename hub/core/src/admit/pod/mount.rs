//! Where a container has its volumes.

use std::collections::BTreeSet;

use super::has_parent;
use crate::admit::at::{At, Errors};

/// Checks a container's `volumeMounts`.
pub(super) fn validate(container: &At<'_>, volumes: &BTreeSet<&str>, errors: &mut Errors) {
    let privileged = container.fields(&["securityContext", "privileged"]).is_true();
    let mut paths = BTreeSet::new();
    for mount in container.field("volumeMounts").items() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        if name.text().is_empty() {
            errors.required(&name, "");
        } else if !volumes.contains(name.text()) {
            errors.not_found(&name);
        }
        if path.text().is_empty() {
            errors.required(&path, "");
        } else if !paths.insert(path.text()) {
            errors.invalid(&path, "must be unique");
        }
        let (sub_path, expression) = (mount.field("subPath"), mount.field("subPathExpr"));
        if !sub_path.text().is_empty() && !expression.text().is_empty() {
            errors.invalid(&expression, "subPathExpr and subPath are mutually exclusive");
        }
        below(&sub_path, errors);
        below(&expression, errors);
        let propagation = mount.field("mountPropagation");
        errors.one_of(&propagation, &["Bidirectional", "HostToContainer", "None"]);
        if propagation.text() == "Bidirectional" && !privileged {
            let detail = "Bidirectional mount propagation is available only to privileged containers";
            errors.forbidden(&propagation, detail);
        }
        recursive(&mount, errors);
    }
}

/// A path that stays below where it starts.
pub(super) fn below(path: &At<'_>, errors: &mut Errors) {
    if path.text().starts_with('/') {
        errors.invalid(path, "must be a relative path");
    }
    if has_parent(path.text()) {
        errors.invalid(path, "must not contain '..'");
    }
}

fn recursive(mount: &At<'_>, errors: &mut Errors) {
    let recursive = mount.field("recursiveReadOnly");
    errors.one_of(&recursive, &["Disabled", "Enabled", "IfPossible"]);
    if !["Enabled", "IfPossible"].contains(&recursive.text()) {
        return;
    }
    if !mount.field("readOnly").is_true() {
        errors.forbidden(&recursive, "may only be specified when readOnly is true");
    }
    if !["", "None"].contains(&mount.field("mountPropagation").text()) {
        errors.forbidden(&recursive, "may only be specified when mountPropagation is None or not specified");
    }
}
