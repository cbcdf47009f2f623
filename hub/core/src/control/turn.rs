//! One turn of all controllers.

use std::fmt;

use gannet_protocols_model::Timestamp;

use super::draft::Draft;
use super::index::Index;
use super::{deployment, garbage, meta, namespace, node, pod_gc, replica_set, service, service_account};
use crate::control::names::Names;
use crate::{Change, World, schedule};

/// How often a Deployment and its ReplicaSets are looked at in one turn. Few rollouts need more than three steps before
/// they wait for nodes; what is left is done in the next turn.
const STEPS_A_TURN: usize = 6;

/// What a turn decides from.
pub struct Context<'a> {
    /// All objects, with everything that the caller has committed before.
    pub world: &'a World,
    /// The time of the decision.
    pub now: Timestamp,
    /// Where new names come from.
    pub ids: &'a mut dyn Names,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

/// What a turn wants.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    /// To be committed in this order: owners stand before what they own, events at the end.
    pub changes: Vec<Change>,
    /// When time alone makes something due (a progress deadline, `minReadySeconds`); a turn is needed no earlier unless
    /// the world changes.
    pub next: Option<Timestamp>,
}

/// Runs every controller once, the scheduler among them. Nothing is kept from turn to turn.
pub fn turn(cx: &mut Context<'_>) -> Turn {
    let mut index = Index::of(cx.world);
    let mut draft = Draft::new(cx.world, cx.now, &mut *cx.ids);

    namespace::sync_all(&mut draft);
    service_account::sync_all(&mut draft);
    garbage::sync_all(&mut draft);
    pod_gc::sync_all(&mut draft);
    node::sync_pods(&mut draft);
    workloads(&mut draft, &mut index);
    schedule::run(&mut draft);
    service::sync_all(&mut draft, &index);
    draft.finish()
}

fn workloads(draft: &mut Draft<'_>, index: &mut Index<'_>) {
    for key in draft.deployments.keys() {
        for _ in 0..STEPS_A_TURN {
            let mut changed = false;
            for set in deployment::claim(draft, index, &key) {
                changed |= replica_set::sync(draft, index, &set);
            }
            changed |= deployment::sync(draft, index, &key);
            if !changed {
                break;
            }
        }
    }
    let alone = draft.replica_sets.iter().filter(|(_, set)| {
        let owner = meta::controller_of(&set.metadata);
        owner.is_none_or(|owner| {
            let key = crate::ObjectKey::new(meta::namespace(&set.metadata), &owner.name);
            owner.kind != "Deployment"
                || draft.deployments.get(&key).is_none_or(|d| meta::uid(&d.metadata) != owner.uid)
        })
    });
    let mut alone: Vec<_> = alone.map(|(key, _)| key.clone()).collect();
    alone.sort_unstable();
    for key in alone {
        replica_set::sync(draft, index, &key);
    }
}
