//! Which ReplicaSet is the new one, and the annotations by which `kubectl rollout history` and `undo` find the others.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::rollout::Strategy;
use super::template;
use crate::control::meta;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a Deployment that are not its ReplicaSets' too.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
];

/// The most characters of the list of former revisions, as in Kubernetes.
const MAX_HISTORY: usize = 2000;

/// The place of the ReplicaSet that has the Deployment's template; the oldest, where there are several. `sets` are in
/// order of age.
pub(super) fn find_new(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> Option<usize> {
    let wanted = &deployment.spec.template;
    let place = |is: fn(&PodTemplateSpec, &PodTemplateSpec) -> bool| {
        sets.iter().position(|set| set.spec.template.as_ref().is_some_and(|template| is(template, wanted)))
    };
    place(template::is_same).or_else(|| place(template::is_alike))
}

/// The revision of a ReplicaSet; 0 where it has none.
pub(super) fn of(meta: &ObjectMeta) -> i64 {
    meta::annotation(meta, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// The Deployment's size when the set was last resized.
pub(super) fn desired(set: &ReplicaSet) -> Option<i32> {
    meta::annotation(&set.metadata, DESIRED)?.parse().ok()
}

/// The Deployment's size and `maxSurge` when the set was last resized.
pub(super) fn max_before(set: &ReplicaSet) -> Option<i32> {
    meta::annotation(&set.metadata, MAX)?.parse().ok()
}

/// Notes the Deployment's size on a set that is resized.
pub(super) fn note_size(meta: &mut ObjectMeta, strategy: &Strategy) {
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(DESIRED.to_owned(), strategy.replicas.to_string());
    annotations.insert(MAX.to_owned(), strategy.max_replicas().to_string());
}

/// Gives the new set the Deployment's annotations (the change's cause among them) and at least this revision. A set that
/// had a revision before, and so is returned to, remembers it.
pub(super) fn annotate(meta: &mut ObjectMeta, deployment: &ObjectMeta, revision: i64) {
    let old = of(meta);
    let known = meta::annotation(meta, REVISION).map(str::to_owned);
    let annotations = meta.annotations.get_or_insert_default();
    for (key, value) in deployment.annotations.iter().flatten() {
        if !OWN.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    if old >= revision {
        return;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    if let Some(known) = known {
        let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&known);
        while history.len() > MAX_HISTORY {
            *history = history.split_once(',').map_or_else(String::new, |(_, rest)| rest.to_owned());
        }
    }
}
