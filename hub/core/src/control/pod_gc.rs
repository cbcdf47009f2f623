//! Pods that no node will ever report on.

use std::time::Duration;

use super::draft::Draft;
use super::meta;
use crate::{Kind, ObjectKey};

/// How long a pod may name a node that does not exist (yet), as in Kubernetes.
const QUARANTINE: Duration = Duration::from_secs(40);

/// Removes pods that are being deleted and were never bound, those of nodes that do not exist any more, and those that
/// were to go at once and whose last finalizer is gone.
///
/// Pods of a node that exists are never removed here, however long it is silent: they may well run.
pub(crate) fn sync_all(draft: &mut Draft<'_>) {
    let mut gone = Vec::new();
    let mut wait = Vec::new();
    for (key, pod) in draft.pods.iter() {
        if meta::has_finalizers(&pod.metadata) {
            continue;
        }
        let ending = meta::is_terminating(&pod.metadata);
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
    for key in gone {
        draft.pods.remove(&key);
    }
    for at in wait {
        draft.due(at);
    }
}
