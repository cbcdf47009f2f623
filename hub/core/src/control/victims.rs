//! Which pods go first when a ReplicaSet has too many.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use gannet_protocols_model::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::meta;
use crate::ObjectKey;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `many` pods that are missed least: not bound, pending, not ready (or not with what was asked for), cheap, on nodes with many pods of the family,
/// ready for a short time, often restarted, young. Ages are compared by order of magnitude, so that among old pods the
/// choice is even.
pub(crate) fn choose(
    pods: Vec<(&ObjectKey, &Pod)>,
    many: usize,
    neighbours: &BTreeMap<String, usize>,
    now: Timestamp,
) -> Vec<ObjectKey> {
    let mut ranked: Vec<_> = pods.into_iter().map(|(key, pod)| (rank(pod, neighbours, now), key)).collect();
    ranked.sort_by(|(a, a_key), (b, b_key)| compare(a, b).then_with(|| a_key.cmp(b_key)));
    ranked.into_iter().take(many).map(|(_, key)| key.clone()).collect()
}

struct Rank {
    bound: bool,
    phase: u8,
    ready: bool,
    cost: i64,
    neighbours: Reverse<usize>,
    ready_age: u32,
    restarts: Reverse<i32>,
    age: u32,
    uid: String,
}

fn rank(pod: &Pod, neighbours: &BTreeMap<String, usize>, now: Timestamp) -> Rank {
    let node = meta::node_name(pod);
    let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    Rank {
        bound: node.is_some(),
        phase: match meta::phase(pod) {
            "Pending" => 0,
            "Unknown" => 1,
            _ => 2,
        },
        ready: meta::fulfilled_since(pod).is_some(),
        cost: meta::annotation(&pod.metadata, DELETION_COST).and_then(|c| c.parse().ok()).unwrap_or(0),
        neighbours: Reverse(node.and_then(|n| neighbours.get(n)).copied().unwrap_or(0)),
        ready_age: meta::ready_since(pod).map_or(0, |since| magnitude(since, now)),
        restarts: Reverse(statuses.map(|s| s.restart_count).max().unwrap_or(0)),
        age: magnitude(meta::created(&pod.metadata), now),
        uid: meta::uid(&pod.metadata).to_owned(),
    }
}

fn compare(a: &Rank, b: &Rank) -> Ordering {
    let key = |r: &Rank| (r.bound, r.phase, r.ready, r.cost, r.neighbours, r.ready_age, r.restarts, r.age);
    key(a).cmp(&key(b)).then_with(|| a.uid.cmp(&b.uid))
}

/// The binary logarithm of an age in nanoseconds.
fn magnitude(since: Timestamp, now: Timestamp) -> u32 {
    now.since(since).as_nanos().checked_ilog2().map_or(0, |log| log + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn pod(name: &str, mut patch: serde_json::Value) -> (ObjectKey, Pod) {
        let mut value = serde_json::json!({
            "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        merge(&mut value, &mut patch);
        (ObjectKey::new("", name), serde_json::from_value(value).unwrap())
    }

    fn merge(into: &mut serde_json::Value, patch: &mut serde_json::Value) {
        match (into, patch) {
            (serde_json::Value::Object(into), serde_json::Value::Object(patch)) => {
                for (key, value) in patch.iter_mut() {
                    merge(into.entry(key.clone()).or_insert(serde_json::Value::Null), value);
                }
            }
            (into, patch) => *into = patch.take(),
        }
    }

    fn check(worse: serde_json::Value, better: serde_json::Value) {
        // The name that sorts first is the better pod's, so that the name does not decide.
        let (a, b) = (pod("a", better), pod("b", worse.clone()));
        let neighbours = BTreeMap::from([("n1".to_owned(), 1), ("n2".to_owned(), 5)]);
        let chosen = choose(vec![(&a.0, &a.1), (&b.0, &b.1)], 1, &neighbours, NOW);
        assert_eq!(chosen, [b.0], "{worse}");
    }

    #[test]
    fn order() {
        let plain = || serde_json::json!({});
        check(serde_json::json!({"spec": {"nodeName": ""}}), plain());
        check(
            serde_json::json!({"status": {"phase": "Pending"}}),
            serde_json::json!({"status": {"phase": "Unknown"}}),
        );
        check(serde_json::json!({"status": {"conditions": []}}), plain());
        check(serde_json::json!({"metadata": {"annotations": {DELETION_COST: "-5"}}}), plain());
        check(serde_json::json!({"spec": {"nodeName": "n2"}}), plain());
        let ready = serde_json::json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2027-01-15T00:00:00Z"}]);
        check(serde_json::json!({"status": {"conditions": ready}}), plain());
        let restarted =
            serde_json::json!([{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 3}]);
        check(serde_json::json!({"status": {"containerStatuses": restarted}}), plain());
        check(serde_json::json!({"metadata": {"creationTimestamp": "2027-01-15T00:00:00Z"}}), plain());
        // Not bound goes before not ready, whatever it costs.
        check(
            serde_json::json!({"spec": {"nodeName": ""}, "metadata": {"annotations": {DELETION_COST: "100"}}}),
            serde_json::json!({"status": {"conditions": []}}),
        );
    }
}
