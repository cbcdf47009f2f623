//! Pods whose devices gave the new manifest up and went back to the one before. A rollout that meets one stops.

use k8s_openapi::api::apps::v1::ReplicaSet;

use crate::control::draft::Draft;
use crate::control::index::Index;
use crate::control::meta;

/// The most characters of what is said of a pod: some lines of its log.
const MAX_WORDS: usize = 2000;

/// What devices gave up of one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RolledBack {
    /// So many of its pods run another manifest.
    pub(super) pods: i32,
    /// Which one, where, and why.
    pub(super) message: String,
}

/// What devices gave up of this set; `None` where all of its pods run, or will run, what it asks for.
pub(super) fn of(draft: &Draft<'_>, index: &Index<'_>, set: &ReplicaSet) -> Option<RolledBack> {
    let uid = meta::uid(&set.metadata);
    let (pods, _) = index.pods(uid, meta::namespace(&set.metadata));
    let mut pods: Vec<_> = pods
        .iter()
        .filter_map(|key| draft.pods.get(key))
        .filter(|pod| meta::is_controlled_by(&pod.metadata, uid) && meta::is_active(pod))
        .filter_map(|pod| Some((pod, meta::rolled_back(pod)?)))
        .collect();
    // The first to fail is the one that is told of, so that the words stay as more follow.
    pods.sort_by_key(|(pod, why)| {
        (why.last_transition_time.as_ref().map(meta::timestamp), meta::name(&pod.metadata))
    });
    let (pod, why) = pods.first()?;
    let message = format!(
        "ReplicaSet {:?} was rolled back: pod {:?} on node {:?}: {}: {}",
        meta::name(&set.metadata),
        meta::name(&pod.metadata),
        meta::node_name(pod).unwrap_or_default(),
        why.reason.as_deref().unwrap_or_default(),
        why.message.as_deref().unwrap_or_default(),
    );
    Some(RolledBack { pods: meta::count(pods.len()), message: message.chars().take(MAX_WORDS).collect() })
}

#[cfg(test)]
#[path = "rolled_back_test.rs"]
mod tests;
