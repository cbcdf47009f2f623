//! Which ReplicaSets are a Deployment's.

use crate::control::draft::Draft;
use crate::control::index::Index;
use crate::control::{meta, selector};
use crate::{Kind, ObjectKey};

/// The ReplicaSets of a Deployment, after adopting those that match and nobody controls, and releasing those that do
/// not match any more.
pub(crate) fn claim(draft: &mut Draft<'_>, index: &mut Index<'_>, key: &ObjectKey) -> Vec<ObjectKey> {
    let Some(deployment) = draft.deployments.shared(key) else { return Vec::new() };
    let spec = &deployment.spec;
    if selector::is_empty(&spec.selector) {
        return Vec::new();
    }
    let uid = meta::uid(&deployment.metadata);
    let claims = !meta::is_terminating(&deployment.metadata);
    let (owned, orphans) = index.sets(uid, &key.namespace);
    let mut sets = Vec::new();
    for key in owned {
        let Some(set) = draft.replica_sets.get(&key) else { continue };
        if !meta::is_controlled_by(&set.metadata, uid) {
            continue;
        }
        if selector::matches(&spec.selector, meta::labels(&set.metadata)) {
            sets.push(key);
        } else if claims {
            draft.replica_sets.update(&key, |set| meta::release(&mut set.metadata, uid));
        }
    }
    for key in orphans {
        let fits = draft.replica_sets.get(&key).is_some_and(|set| {
            meta::controller_of(&set.metadata).is_none()
                && !meta::is_terminating(&set.metadata)
                && selector::matches(&spec.selector, meta::labels(&set.metadata))
        });
        if claims && fits {
            let reference = meta::controller_reference(Kind::DEPLOYMENT, &deployment.metadata);
            draft.replica_sets.update(&key, |set| meta::adopt(&mut set.metadata, reference));
            index.add(uid, key.clone());
            sets.push(key);
        }
    }
    sets
}
