//! Fields of a pod and of its containers' resources, as variables and files name them.

use serde_json::json;

use crate::admit::at::{At, Errors};
use crate::admit::{names, quantity};

/// What a variable may be made from.
pub(super) const IN_ENVIRONMENT: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// What a file may be made from.
pub(super) const IN_FILES: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// What Kubernetes knows and offers nowhere here.
const ELSEWHERE: &[&str] = &["spec.restartPolicy", "spec.schedulerName", "status.phase"];

/// Checks a `fieldRef`.
pub(super) fn of_pod(reference: &At<'_>, supported: &[&str], errors: &mut Errors) {
    let path = reference.field("fieldPath");
    if path.text().is_empty() {
        errors.required(&path, "");
        return;
    }
    if let Some((of, key)) = subscripted(path.text()) {
        let problems = match of {
            "metadata.annotations" => names::qualified(&key.to_lowercase()),
            "metadata.labels" => names::qualified(key),
            _ => {
                let detail = format!(
                    "error converting fieldPath: field label does not support subscript: {}",
                    path.text()
                );
                errors.invalid(&path, &detail);
                return;
            }
        };
        errors.key_texts(reference, key, problems);
    } else if [IN_ENVIRONMENT, IN_FILES, ELSEWHERE].iter().any(|known| known.contains(&path.text())) {
        errors.one_of(&path, supported);
    } else {
        let detail = format!("error converting fieldPath: field label not supported: {}", path.text());
        errors.invalid(&path, &detail);
    }
}

/// `metadata.labels['key']` in its parts.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(of, _)| !of.is_empty())
}

const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const SIZES: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";

/// Checks a `resourceFieldRef`; that of a file names its container.
pub(super) fn of_container(reference: &At<'_>, in_file: bool, errors: &mut Errors) {
    let (container, resource) = (reference.field("containerName"), reference.field("resource"));
    if in_file && container.text().is_empty() {
        errors.required(&container, "");
    } else if resource.text().is_empty() {
        errors.required(&resource, "");
    } else {
        errors.one_of(&resource, RESOURCES);
    }
    let divisor = reference.field("divisor");
    // No divisor, and 0, stand for 1.
    if !divisor.is_set() || quantity::nanos(divisor.value) == Some(0) {
        return;
    }
    let (right, what) = match resource.text().split_once('.').map(|(_, name)| name) {
        Some("cpu") => (["1m", "1"].contains(&divisor.text()), "values 1m and 1 are supported with the cpu"),
        Some(name @ ("memory" | "ephemeral-storage")) => {
            let words = if name == "memory" {
                "are supported with the memory"
            } else {
                "are supported with the local ephemeral storage"
            };
            (SIZES.split(", ").any(|size| size == divisor.text()), words)
        }
        _ => return,
    };
    if !right {
        let values = if what.starts_with("values") { String::new() } else { format!("values {SIZES} ") };
        let detail = format!("only divisor's {values}{what} resource");
        errors.invalid_value(&divisor, json!(resource.text()), &detail);
    }
}
