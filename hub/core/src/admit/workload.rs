//! Deployments and ReplicaSets.

use serde_json::json;

use super::at::{At, Errors};
use super::{meta, pod, selector};
use crate::Kind;

/// Checks the spec of a Deployment or ReplicaSet.
pub(super) fn spec(kind: &Kind, spec: &At<'_>, errors: &mut Errors) {
    errors.not_negative(&spec.field("replicas"));
    errors.not_negative(&spec.field("minReadySeconds"));
    pod_selector(kind, spec, errors);
    if kind == Kind::DEPLOYMENT {
        strategy(&spec.field("strategy"), errors);
        errors.not_negative(&spec.field("revisionHistoryLimit"));
        let deadline = spec.field("progressDeadlineSeconds");
        errors.not_negative(&deadline);
        if let (Some(deadline_seconds), Some(ready)) =
            (deadline.int(), spec.field("minReadySeconds").int().or(Some(0)))
            && deadline_seconds <= ready
        {
            errors.invalid(&deadline, "must be greater than minReadySeconds");
        }
    }
    template(&spec.field("template"), errors);
}

fn pod_selector(kind: &Kind, spec: &At<'_>, errors: &mut Errors) {
    let (wanted, template) = (spec.field("selector"), spec.field("template"));
    let labels = template.fields(&["metadata", "labels"]);
    if !wanted.is_set() {
        errors.required(&wanted, "");
        return;
    }
    let before = errors.count();
    selector::validate(&wanted, errors);
    if selector::is_empty(&wanted) {
        errors.invalid(&wanted, &format!("empty selector is invalid for {}", kind.singular));
    } else if errors.count() == before && template.is_set() && !selector::matches(&wanted, &labels) {
        let shown = if labels.is_set() { labels.value.clone() } else { json!({}) };
        errors.invalid_value(&labels, shown, "`selector` does not match template `labels`");
    }
}

fn template(template: &At<'_>, errors: &mut Errors) {
    if !template.is_set() {
        errors.required(template, "");
        return;
    }
    let meta = template.field("metadata");
    meta::labels(&meta.field("labels"), errors);
    meta::annotations(&meta.field("annotations"), errors);
    let pod_spec = template.field("spec");
    pod::validate_annotations(&meta, &pod_spec, errors);
    pod::validate(&pod_spec, errors);
    if pod_spec.field("activeDeadlineSeconds").is_set() {
        let detail = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.forbidden(&pod_spec.field("activeDeadlineSeconds"), detail);
    }
    let policy = pod_spec.field("restartPolicy");
    if ["OnFailure", "Never"].contains(&policy.text()) {
        errors.one_of(&policy, &["Always"]);
    }
}

fn strategy(strategy: &At<'_>, errors: &mut Errors) {
    let (ty, rolling) = (strategy.field("type"), strategy.field("rollingUpdate"));
    errors.required_one_of(&ty, &["Recreate", "RollingUpdate"]);
    if ty.text() == "Recreate" && rolling.is_set() {
        errors.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
    }
    if ty.text() != "RollingUpdate" {
        return;
    }
    let (unavailable, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
    let amounts = (amount(&unavailable, errors), amount(&surge, errors));
    if amounts == (Some(0), Some(0)) {
        errors.invalid(&unavailable, "may not be 0 when `maxSurge` is 0");
    }
    if unavailable.value.is_string() && amounts.0.is_some_and(|percent| percent > 100) {
        errors.invalid(&unavailable, "must not be greater than 100%");
    }
}

/// A number or the number in a percentage.
fn amount(at: &At<'_>, errors: &mut Errors) -> Option<i64> {
    if at.value.is_string() {
        let percent =
            at.text().strip_suffix('%').filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        if percent.is_none() {
            errors.invalid(at, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')");
        }
        return percent.map(|p| p.parse().unwrap_or(i64::MAX));
    }
    errors.not_negative(at);
    at.int()
}

/// The selector of a workload stays as it is.
pub(super) fn validate_update(old: &At<'_>, new: &At<'_>, errors: &mut Errors) {
    errors.immutable(&old.field("selector"), &new.field("selector"));
}

/// No count of a status is below zero.
pub(super) fn status(status: &At<'_>, errors: &mut Errors) {
    for field in [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "fullyLabeledReplicas",
        "observedGeneration",
    ] {
        errors.not_negative(&status.field(field));
    }
}

/// A Deployment's name becomes part of its pods' host names.
pub(super) fn name_warning(kind: &Kind, name: &At<'_>, warnings: &mut Vec<String>) {
    let problems = super::names::label(name.text());
    if kind == Kind::DEPLOYMENT && !problems.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
            problems.join(" ")
        ));
    }
}
