//! ReplicaSet: as many pods as it asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::draft::Draft;
use super::index::Index;
use super::{meta, pod_template, selector, victims};
use crate::{Kind, ObjectKey};

const COMPONENT: &str = "replicaset-controller";

/// The most pods that one step makes or deletes for one set, as in Kubernetes. More follow in the next step.
const BURST: usize = 500;

/// Brings one ReplicaSet's pods and status to what its spec asks; whether anything changed.
pub(crate) fn sync(draft: &mut Draft<'_>, index: &mut Index<'_>, key: &ObjectKey) -> bool {
    let Some(set) = draft.replica_sets.shared(key) else { return false };
    if selector::is_empty(&set.spec.selector) {
        return false;
    }
    let mut changed = false;
    let mut active = claim(draft, index, &set, &mut changed);
    if !meta::is_terminating(&set.metadata) {
        changed |= manage(draft, index, &set, &mut active);
    }
    changed | write_status(draft, key, &set, &active)
}

/// The active pods of the set, after adopting and releasing.
fn claim(
    draft: &mut Draft<'_>,
    index: &mut Index<'_>,
    set: &ReplicaSet,
    changed: &mut bool,
) -> Vec<ObjectKey> {
    let spec = &set.spec;
    let uid = meta::uid(&set.metadata);
    let (owned, orphans) = index.pods(uid, meta::namespace(&set.metadata));
    let mut active = Vec::with_capacity(owned.len());
    for key in owned {
        let Some(pod) = draft.pods.get(&key) else { continue };
        if !meta::is_controlled_by(&pod.metadata, uid) || !meta::is_active(pod) {
            continue;
        }
        if selector::matches(&spec.selector, meta::labels(&pod.metadata)) {
            active.push(key);
        } else if !meta::is_terminating(&set.metadata) {
            *changed |= draft.pods.update(&key, |pod| meta::release(&mut pod.metadata, uid));
        }
    }
    if meta::is_terminating(&set.metadata) {
        return active;
    }
    for key in orphans {
        let fits = draft.pods.get(&key).is_some_and(|pod| {
            meta::is_active(pod)
                && meta::controller_of(&pod.metadata).is_none()
                && selector::matches(&spec.selector, meta::labels(&pod.metadata))
        });
        if fits {
            let reference = meta::controller_reference(Kind::REPLICA_SET, &set.metadata);
            *changed |= draft.pods.update(&key, |pod| meta::adopt(&mut pod.metadata, reference));
            index.add(uid, key.clone());
            active.push(key);
        }
    }
    active
}

/// Makes or deletes pods. `active` then lists the pods that are left.
fn manage(
    draft: &mut Draft<'_>,
    index: &mut Index<'_>,
    set: &ReplicaSet,
    active: &mut Vec<ObjectKey>,
) -> bool {
    let wanted = usize::try_from(replicas(set)).unwrap_or_default();
    if active.len() < wanted {
        if !draft.is_open(meta::namespace(&set.metadata)) {
            return false;
        }
        for _ in 0..(wanted - active.len()).min(BURST) {
            let Some(pod) = pod_template::instantiate(draft, set) else { break };
            let key = meta::key(&pod.metadata);
            let message = format!("Created pod: {}", key.name);
            draft.event(Kind::REPLICA_SET, &set.metadata, false, "SuccessfulCreate", message, COMPONENT);
            index.add(meta::uid(&set.metadata), key.clone());
            draft.pods.create(pod);
            active.push(key);
        }
        return true;
    }
    if active.len() == wanted {
        return false;
    }
    let many = (active.len() - wanted).min(BURST);
    let neighbours = neighbours(draft, index, set);
    let pods: Vec<(&ObjectKey, &Pod)> =
        active.iter().filter_map(|key| Some((key, draft.pods.get(key)?))).collect();
    let chosen = victims::choose(pods, many, &neighbours, draft.now);
    for key in &chosen {
        draft.pods.delete(key, draft.now);
        let message = format!("Deleted pod: {}", key.name);
        draft.event(Kind::REPLICA_SET, &set.metadata, false, "SuccessfulDelete", message, COMPONENT);
    }
    active.retain(|key| !chosen.contains(key));
    true
}

/// How many active pods of the whole family (all sets of the same owner) each node has.
fn neighbours(draft: &Draft<'_>, index: &Index<'_>, set: &ReplicaSet) -> BTreeMap<String, usize> {
    let namespace = meta::namespace(&set.metadata);
    let mut family = vec![meta::uid(&set.metadata).to_owned()];
    if let Some(owner) = meta::controller_of(&set.metadata) {
        let (sets, _) = index.sets(&owner.uid, namespace);
        family = sets.iter().filter_map(|key| draft.replica_sets.get(key)?.metadata.uid.clone()).collect();
    }
    let mut counts = BTreeMap::new();
    for uid in family {
        let (pods, _) = index.pods(&uid, namespace);
        for pod in pods.iter().filter_map(|key| draft.pods.get(key)).filter(|pod| meta::is_active(pod)) {
            if let Some(node) = meta::node_name(pod) {
                *counts.entry(node.to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

fn write_status(draft: &mut Draft<'_>, key: &ObjectKey, set: &ReplicaSet, active: &[ObjectKey]) -> bool {
    let spec = &set.spec;
    let pods = || active.iter().filter_map(|key| draft.pods.get(key));
    let patience =
        Duration::from_secs(u64::try_from(spec.min_ready_seconds.unwrap_or(0)).unwrap_or_default());
    let wanted = spec.template.as_ref().and_then(|t| t.metadata.as_ref()).map(meta::labels);
    let labelled =
        |pod: &Pod| wanted.into_iter().flatten().all(|(k, v)| meta::labels(&pod.metadata).get(k) == Some(v));
    let available_at: Vec<_> =
        pods().filter_map(meta::fulfilled_since).map(|since| since.plus(patience)).collect();
    let old = set.status.clone().unwrap_or_default();
    let some = |n: usize| (n != 0).then(|| meta::count(n));
    let status = ReplicaSetStatus {
        replicas: meta::count(active.len()),
        fully_labeled_replicas: some(pods().filter(|pod| labelled(pod)).count()),
        ready_replicas: some(available_at.len()),
        available_replicas: some(available_at.iter().filter(|&&at| at <= draft.now).count()),
        observed_generation: set.metadata.generation,
        ..old
    };
    let next = available_at.iter().filter(|&&at| at > draft.now).min().copied();
    if let Some(next) = next {
        draft.due(next);
    }
    set.status.as_ref() != Some(&status) && draft.replica_sets.update(key, |set| set.status = Some(status))
}

/// `spec.replicas`.
pub(crate) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

#[cfg(test)]
#[path = "replica_set_test.rs"]
mod tests;
