//! Pods that no node will ever report on.

use std::time::Duration;

use super::draft::Draft;
use super::meta;
use crate::{Kind, ObjectKey};

/// How long a pod may name a node that does not exist (yet), as in Kubernetes.
const QUARANTINE: Duration = Duration::from_secs(40);

/// How many ended pods are kept to be looked at. Those that ended long ago go first: a pod that is evicted again and again
/// must not fill the store.
const ENDED_KEPT: usize = 1000;

/// Removes pods that are being deleted and were never bound, those of nodes that do not exist any more, and those that
/// were to go at once and whose last finalizer is gone, and the oldest of very many that have ended.
///
/// Pods of a node that exists are never removed here, however long it is silent: they may well run.
pub(crate) fn sync_all(draft: &mut Draft<'_>) {
    let mut gone = Vec::new();
    let mut wait = Vec::new();
    let mut ended = Vec::new();
    for (key, pod) in draft.pods.iter() {
        if meta::has_finalizers(&pod.metadata) {
            continue;
        }
        let ending = meta::is_terminating(&pod.metadata);
        if meta::is_finished(pod) && !ending {
            ended.push((meta::created(&pod.metadata), key.clone()));
        }
        let Some(node) = meta::node_name(pod) else {
            if ending {
                gone.push(key.clone());
            }
            continue;
        };
        if ending && pod.metadata.deletion_grace_period_seconds == Some(0) {
            gone.push(key.clone());
            continue;
        }
        let node = ObjectKey::new("", node);
        let unread = || draft.world.unreadable.contains(&(Kind::NODE.resource(), node.clone()));
        if draft.nodes.get(&node).is_some() || unread() {
            continue;
        }
        let since = meta::created(&pod.metadata).plus(QUARANTINE);
        if ending || since <= draft.now {
            gone.push(key.clone());
        } else {
            wait.push(since);
        }
    }
    let many = ended.len().saturating_sub(ENDED_KEPT);
    if many > 0 {
        ended.sort_unstable();
        gone.extend(ended.into_iter().take(many).map(|(_, key)| key));
    }
    for key in gone {
        draft.pods.remove(&key);
    }
    for at in wait {
        draft.due(at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Kind;
    use crate::control::test_world::TestWorld;

    #[test]
    fn the_oldest_of_very_many_ended_pods_go() {
        let mut world = TestWorld::with_nodes(1);
        for at in 0..1003 {
            let (phase, hour) = if at == 0 { ("Running", 0) } else { ("Failed", at % 24) };
            let created = format!("2026-01-{:02}T{hour:02}:00:00Z", 1 + (1003 - at) / 40);
            world.put(
                Kind::POD,
                json!({"metadata": {"name": format!("p{at}"), "creationTimestamp": created},
                       "spec": {"nodeName": "n1", "containers": []}, "status": {"phase": phase}}),
            );
        }
        let ages = |world: &TestWorld| {
            let pods = world.world.pods.values().filter(|pod| super::meta::is_finished(pod));
            let mut ages: Vec<_> = pods.map(|pod| super::meta::created(&pod.metadata)).collect();
            ages.sort_unstable();
            ages
        };
        let before = ages(&world);
        world.settle();
        assert_eq!(ages(&world), before[2..], "a thousand are left");
        assert!(world.find(Kind::POD, "p0").is_some());
        assert!(world.decide().changes.is_empty());
    }
}
