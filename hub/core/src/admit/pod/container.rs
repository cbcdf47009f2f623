//! One container of a pod.

use std::collections::BTreeSet;

use super::{environment, lifecycle, mount, ports, probe, resources, security};
use crate::admit::at::{At, Errors};
use crate::admit::names;

/// What a container's checks look at beside the container.
#[derive(Debug)]
pub(super) struct Around<'a> {
    /// Names of the pod's volumes.
    pub(super) volumes: BTreeSet<&'a str>,
    /// `terminationGracePeriodSeconds`.
    pub(super) grace: Option<i64>,
    /// The pod's `restartPolicy`.
    pub(super) restart_policy: &'a str,
    /// Whether the pod has the node's users.
    pub(super) host_users: bool,
    /// Whether `os.name` is set.
    pub(super) names_os: bool,
}

/// When a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Before the others, to its end.
    Init,
    /// From its turn among the init containers on.
    Sidecar,
    /// After the init containers.
    Main,
}

impl Role {
    /// By the list that it stands in, and its `restartPolicy`.
    pub(super) fn of(container: &At<'_>, is_init: bool) -> Self {
        match (is_init, container.field("restartPolicy").text()) {
            (true, "Always") => Self::Sidecar,
            (true, _) => Self::Init,
            (false, _) => Self::Main,
        }
    }
}

/// Checks a container.
pub(super) fn validate(container: &At<'_>, role: Role, around: &Around<'_>, errors: &mut Errors) {
    let name = container.field("name");
    if name.text().is_empty() {
        errors.required(&name, "");
    } else {
        errors.texts(&name, names::label(name.text()));
    }
    let image = container.field("image");
    if image.text().is_empty() {
        errors.required(&image, "");
    } else if image.text().trim() != image.text() {
        errors.invalid(&image, "must not have leading or trailing whitespace");
    }
    errors.required_one_of(&container.field("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    last_words(container, errors);
    ports::validate(&container.field("ports"), errors);
    environment::validate(container, errors);
    mount::validate(container, &around.volumes, errors);
    resources::validate(&container.field("resources"), errors);
    resources::resize_policy(&container.field("resizePolicy"), around.restart_policy, errors);
    security::container(&container.field("securityContext"), around.host_users, errors);
    let policy = container.field("restartPolicy");
    if role == Role::Main && policy.is_set() {
        errors.forbidden(&policy, "may not be set for non-init containers");
    } else {
        errors.one_of(&policy, &["Always"]);
    }
    if role == Role::Init {
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container.field(field).is_set() {
                let detail = "may not be set for init containers without restartPolicy=Always";
                errors.forbidden(&container.field(field), detail);
            }
        }
        return;
    }
    lifecycle::validate(&container.field("lifecycle"), around, errors);
    probe::validate(container, around.grace, errors);
}

fn last_words(container: &At<'_>, errors: &mut Errors) {
    errors.required_one_of(&container.field("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    let path = container.field("terminationMessagePath");
    if !path.text().is_empty() && !path.text().starts_with('/') {
        errors.invalid(&path, "must be an absolute path");
    } else if super::has_parent(path.text()) {
        errors.invalid(&path, "must not contain '..'");
    }
}
