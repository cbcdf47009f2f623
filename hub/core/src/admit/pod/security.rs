//! The security contexts of a pod and of a container.

use super::{mount, sysctl};
use crate::admit::at::{At, Errors};

/// The largest user or group id.
const MAX_ID: i64 = i32::MAX as i64;

/// The longest name of an AppArmor profile.
const MAX_PROFILE: usize = 4095;

/// Checks the pod's security context.
pub(super) fn pod(spec: &At<'_>, errors: &mut Errors) {
    let security = spec.field("securityContext");
    errors.in_range(&security.field("fsGroup"), 0, MAX_ID);
    ids(&security, errors);
    for group in security.field("supplementalGroups").items() {
        errors.in_range(&group, 0, MAX_ID);
    }
    errors.one_of(&security.field("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    errors.one_of(&security.field("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    seccomp(&security.field("seccompProfile"), errors);
    apparmor(&security.field("appArmorProfile"), errors);
    sysctl::validate(spec, errors);
}

/// Checks a container's security context.
pub(super) fn container(security: &At<'_>, host_users: bool, errors: &mut Errors) {
    ids(security, errors);
    let proc = security.field("procMount");
    errors.one_of(&proc, &["Default", "Unmasked"]);
    if host_users && proc.text() == "Unmasked" {
        errors.invalid(&proc, "`hostUsers` must be false to use `Unmasked`");
    }
    seccomp(&security.field("seccompProfile"), errors);
    apparmor(&security.field("appArmorProfile"), errors);
    if security.field("allowPrivilegeEscalation").value == false {
        if security.field("privileged").is_true() {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(security, detail);
        }
        let added = security.fields(&["capabilities", "add"]);
        if added.items().iter().any(|c| ["CAP_SYS_ADMIN", "SYS_ADMIN"].contains(&c.text())) {
            let detail =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(security, detail);
        }
    }
}

fn ids(security: &At<'_>, errors: &mut Errors) {
    for field in ["runAsUser", "runAsGroup"] {
        errors.in_range(&security.field(field), 0, MAX_ID);
    }
}

fn seccomp(profile: &At<'_>, errors: &mut Errors) {
    if !profile.is_set() {
        return;
    }
    let (kind, path) = (profile.field("type"), profile.field("localhostProfile"));
    if kind.text().is_empty() {
        errors.required(&kind, "type is required when seccompProfile is set");
    }
    errors.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    match (kind.text(), path.is_set()) {
        ("Localhost", false) => errors.required(&path, "must be set when seccomp type is Localhost"),
        ("Localhost", true) if path.text().is_empty() => {
            errors.required(&path, "must be set when seccomp type is Localhost");
        }
        ("Localhost", true) => mount::below(&path, errors),
        (_, true) => errors.invalid(&path, "can only be set when seccomp type is Localhost"),
        (_, false) => {}
    }
}

fn apparmor(profile: &At<'_>, errors: &mut Errors) {
    if !profile.is_set() {
        return;
    }
    let (kind, name) = (profile.field("type"), profile.field("localhostProfile"));
    if kind.text().is_empty() {
        errors.required(&kind, "type is required when appArmorProfile is set");
        return;
    }
    errors.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    match kind.text() {
        "Localhost" if name.text().trim() != name.text() => {
            errors.invalid(&name, "must not be padded with whitespace");
        }
        "Localhost" if name.text().is_empty() => {
            errors.required(&name, "must be set when AppArmor type is Localhost");
        }
        "Localhost" if name.text().len() > MAX_PROFILE => errors.too_long(&name, MAX_PROFILE),
        "RuntimeDefault" | "Unconfined" if name.is_set() => {
            errors.invalid(&name, "can only be set when AppArmor type is Localhost");
        }
        _ => {}
    }
}
