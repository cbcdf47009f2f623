//! One step of one Deployment.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::claim::claim;
use super::conditions::{self, PAUSED, PROGRESSING, TIMED_OUT};
use super::rollout::{SetSize, Strategy};
use super::{revision, scale, status, template};
use crate::control::draft::Draft;
use crate::control::index::Index;
use crate::control::replica_set::replicas;
use crate::control::{meta, selector};
use crate::{Kind, ObjectKey};

pub(super) const COMPONENT: &str = "deployment-controller";

/// Takes a Deployment one step further; whether anything changed.
pub(crate) fn sync(draft: &mut Draft<'_>, index: &mut Index<'_>, key: &ObjectKey) -> bool {
    let Some(deployment) = draft.deployments.shared(key) else { return false };
    if selector::is_empty(&deployment.spec.selector) {
        return false;
    }
    let mut sets: Vec<_> =
        claim(draft, index, key).iter().filter_map(|key| draft.replica_sets.shared(key)).collect();
    sets.sort_by(|a, b| age(a).cmp(&age(b)));
    let status = deployment.status.clone().unwrap_or_default();
    let strategy = Strategy::of(&deployment);
    let mut step = Step { draft, index, deployment, strategy, status, revision: None, sets, changed: false };
    step.run();
    step.changed
}

fn age(set: &ReplicaSet) -> (gannet_protocols_model::Timestamp, &str) {
    (meta::created(&set.metadata), meta::name(&set.metadata))
}

/// One step under way.
pub(super) struct Step<'d, 'w, 'i> {
    pub(super) draft: &'d mut Draft<'w>,
    pub(super) index: &'d mut Index<'i>,
    pub(super) deployment: Arc<Deployment>,
    strategy: Strategy,
    /// The status as the step's decisions find it: the stored one, with conditions that the step sets on its way.
    pub(super) status: DeploymentStatus,
    pub(super) revision: Option<String>,
    /// In order of age.
    pub(super) sets: Vec<Arc<ReplicaSet>>,
    pub(super) changed: bool,
}

impl Step<'_, '_, '_> {
    fn run(&mut self) {
        if meta::is_terminating(&self.deployment.metadata) {
            let new = revision::find_new(&self.deployment, &self.sets);
            return self.write_counts(new);
        }
        let paused = self.deployment.spec.paused.unwrap_or(false);
        self.note_pause(paused);
        let resized = self.active().iter().any(|&i| {
            revision::desired(&self.sets[i]).is_some_and(|desired| desired != self.strategy.replicas)
        });
        if paused || resized {
            self.resize(paused);
        } else if self.strategy.rolling {
            self.roll();
        } else {
            self.recreate();
        }
    }

    fn note_pause(&mut self, paused: bool) {
        if status::progress_deadline(&self.deployment).is_none() {
            return;
        }
        let reason = conditions::get(&self.status, PROGRESSING).and_then(|c| c.reason.as_deref());
        let (reason, message) = match (paused, reason) {
            (_, Some(TIMED_OUT)) => return,
            (true, reason) if reason != Some(PAUSED) => (PAUSED, "Deployment is paused"),
            (false, Some(PAUSED)) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return,
        };
        let condition = conditions::new(PROGRESSING, "Unknown", reason, message.to_owned(), self.draft.now);
        conditions::set(&mut self.status, condition);
    }

    /// A Deployment that was resized, or is paused, where sizes alone are kept up.
    fn resize(&mut self, paused: bool) {
        let new = self.new_set(false);
        let active = self.active();
        let wanted = self.strategy.replicas;
        let saturated = new.is_some_and(|i| {
            let set = &self.sets[i];
            let available = set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0);
            replicas(set) == wanted && revision::desired(set) == Some(wanted) && available == wanted
        });
        match active[..] {
            [] => {
                if let Some(i) = new.or(self.sets.len().checked_sub(1)) {
                    self.scale(i, wanted);
                }
            }
            [one] => self.scale(one, wanted),
            _ if saturated => {
                for i in active.into_iter().filter(|&i| Some(i) != new) {
                    self.scale(i, 0);
                }
            }
            _ if self.strategy.rolling => {
                let before = self.status.replicas.unwrap_or(0);
                for (i, size) in scale::share(&self.strategy, &self.sizes(), before) {
                    self.scale(i, size);
                }
            }
            _ => {}
        }
        if paused {
            self.clean_up(new);
        }
        self.write_counts(new);
    }

    fn roll(&mut self) {
        let Some(new) = self.new_set(true) else { return self.write_progress(None) };
        if self.rolled_back(Some(new)).is_some() {
            // What failed on one device is not brought to the next one.
            return self.write_progress(Some(new));
        }
        let sizes = self.sizes();
        let total: i32 = sizes.iter().map(|set| set.replicas).sum();
        let size = self.strategy.new_size(sizes[new].replicas, total);
        if size != sizes[new].replicas {
            self.scale(new, size);
            return self.write_progress(Some(new));
        }
        let old: Vec<usize> = (0..self.sets.len()).filter(|&i| i != new).collect();
        let old_sizes: Vec<_> = old.iter().map(|&i| sizes[i].clone()).collect();
        let smaller = self.strategy.shrink_old(&old_sizes, &sizes[new]);
        for &(i, size) in &smaller {
            self.scale(old[i], size);
        }
        if smaller.is_empty() && status::is_complete(&self.deployment, &self.status) {
            self.clean_up(Some(new));
        }
        self.write_progress(Some(new));
    }

    fn recreate(&mut self) {
        let mut new = self.new_set(false);
        let old: Vec<usize> = self.active().into_iter().filter(|&i| Some(i) != new).collect();
        if !old.is_empty() {
            for i in old {
                self.scale(i, 0);
            }
            return self.write_progress(new);
        }
        if self.old_pods_remain(new) {
            return self.write_progress(new);
        }
        if new.is_none() {
            new = self.new_set(true);
        }
        if let Some(new) = new {
            self.scale(new, self.strategy.replicas);
        }
        if status::is_complete(&self.deployment, &self.status) {
            self.clean_up(new);
        }
        self.write_progress(new);
    }

    /// Whether a pod of an old set is left, be it on its way out.
    fn old_pods_remain(&self, new: Option<usize>) -> bool {
        self.sets.iter().enumerate().filter(|&(i, _)| Some(i) != new).any(|(_, set)| {
            let uid = meta::uid(&set.metadata);
            let (pods, _) = self.index.pods(uid, meta::namespace(&set.metadata));
            let mut pods = pods.iter().filter_map(|key| self.draft.pods.get(key));
            pods.any(|pod| meta::is_controlled_by(&pod.metadata, uid) && !meta::is_finished(pod))
        })
    }

    /// The sets with pods, by place.
    fn active(&self) -> Vec<usize> {
        (0..self.sets.len()).filter(|&i| replicas(&self.sets[i]) > 0).collect()
    }

    fn sizes(&self) -> Vec<SetSize> {
        let size = |set: &Arc<ReplicaSet>| SetSize {
            name: meta::name(&set.metadata).to_owned(),
            created: meta::created(&set.metadata),
            replicas: replicas(set),
            available: set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0),
            max_before: revision::max_before(set),
        };
        self.sets.iter().map(size).collect()
    }

    /// The place of the set with the Deployment's template, its annotations brought up to date; made if it is asked for.
    fn new_set(&mut self, create: bool) -> Option<usize> {
        let new = revision::find_new(&self.deployment, &self.sets);
        let others = self.sets.iter().enumerate().filter(|&(i, _)| Some(i) != new);
        let next = others.map(|(_, set)| revision::of(&set.metadata)).max().unwrap_or(0) + 1;
        match new {
            Some(i) => {
                let deployment = self.deployment.clone();
                let patience = deployment.spec.min_ready_seconds;
                self.edit(i, |set| {
                    revision::annotate(&mut set.metadata, &deployment.metadata, next);
                    set.spec.min_ready_seconds = patience;
                });
                self.revision =
                    meta::annotation(&self.sets[i].metadata, revision::REVISION).map(str::to_owned);
                let name = meta::name(&self.sets[i].metadata).to_owned();
                // A rollout that failed ends where the template is another one again.
                let about_another = |c: &DeploymentCondition| {
                    let message = c.message.as_deref().unwrap_or_default();
                    c.reason.as_deref() == Some(TIMED_OUT) && !message.contains(&format!("{name:?}"))
                };
                if conditions::get(&self.status, PROGRESSING).is_none_or(about_another) {
                    self.note_progress("FoundNewReplicaSet", format!("Found new replica set {name:?}"));
                }
                Some(i)
            }
            None if create && self.draft.is_open(meta::namespace(&self.deployment.metadata)) => {
                self.create_set(next)
            }
            None => None,
        }
    }

    fn note_progress(&mut self, reason: &str, message: String) {
        if status::progress_deadline(&self.deployment).is_some() {
            let condition = conditions::new(PROGRESSING, "True", reason, message, self.draft.now);
            conditions::set(&mut self.status, condition);
        }
    }

    fn create_set(&mut self, revision: i64) -> Option<usize> {
        let deployment = self.deployment.clone();
        let spec = &deployment.spec;
        let hash = template::hash(&spec.template, self.status.collision_count);
        let name = format!("{}-{hash}", meta::name(&deployment.metadata));
        let key = ObjectKey::new(meta::namespace(&deployment.metadata), &name);
        if self.draft.replica_sets.get(&key).is_some() {
            // Another template, or somebody else's set, has the name: the next hash is another one.
            self.status.collision_count = Some(self.status.collision_count.unwrap_or(0) + 1);
            return None;
        }
        let mut of_pods = spec.template.clone();
        let template_meta = of_pods.metadata.get_or_insert_default();
        let labels = template::with_hash(template_meta.labels.as_ref(), &hash);
        template_meta.labels = Some(labels.clone());
        let total = self.active().iter().map(|&i| replicas(&self.sets[i])).sum();
        let size = self.strategy.new_size(0, total);
        let mut metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(key.namespace.clone()),
            uid: Some(self.draft.ids.uid()),
            generation: Some(1),
            creation_timestamp: Some(meta::time(self.draft.now)),
            labels: Some(labels),
            owner_references: Some(vec![meta::controller_reference(Kind::DEPLOYMENT, &deployment.metadata)]),
            ..ObjectMeta::default()
        };
        revision::annotate(&mut metadata, &deployment.metadata, revision);
        revision::note_size(&mut metadata, &self.strategy);
        let selector = LabelSelector {
            match_labels: Some(template::with_hash(spec.selector.match_labels.as_ref(), &hash)),
            match_expressions: spec.selector.match_expressions.clone(),
        };
        let spec = ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(of_pods),
        };
        self.index.add(meta::uid(&deployment.metadata), key.clone());
        self.draft.replica_sets.create(ReplicaSet { metadata, spec, status: None });
        self.sets.push(self.draft.replica_sets.shared(&key)?);
        self.changed = true;
        if size > 0 {
            self.say_scaled(&name, 0, size);
        }
        self.revision = Some(revision.to_string());
        self.note_progress("NewReplicaSetCreated", format!("Created new replica set {name:?}"));
        Some(self.sets.len() - 1)
    }

    fn say_scaled(&mut self, set: &str, from: i32, to: i32) {
        let way = if to > from { "up" } else { "down" };
        let message = format!("Scaled {way} replica set {set} from {from} to {to}");
        let about = &self.deployment.metadata;
        self.draft.event(Kind::DEPLOYMENT, about, false, "ScalingReplicaSet", message, COMPONENT);
    }

    fn scale(&mut self, i: usize, size: i32) {
        let old = replicas(&self.sets[i]);
        let strategy = self.strategy;
        self.edit(i, |set| {
            revision::note_size(&mut set.metadata, &strategy);
            set.spec.replicas = Some(size);
        });
        if old != size {
            let name = meta::name(&self.sets[i].metadata).to_owned();
            self.say_scaled(&name, old, size);
        }
    }

    /// Changes a set; a changed spec is a new generation.
    fn edit(&mut self, i: usize, change: impl FnOnce(&mut ReplicaSet)) {
        let key = meta::key(&self.sets[i].metadata);
        let stored = self.draft.world.replica_sets.get(&key).cloned();
        let changed = self.draft.replica_sets.update(&key, |set| {
            change(set);
            if let Some(stored) = stored {
                let step = i64::from(stored.spec != set.spec);
                set.metadata.generation = stored.metadata.generation.map(|generation| generation + step);
            }
        });
        if changed {
            self.changed = true;
            self.sets[i] = self.draft.replica_sets.shared(&key).unwrap_or_else(|| self.sets[i].clone());
        }
    }

    /// Deletes old sets beyond `revisionHistoryLimit`: those of the lowest revision that have no pods.
    fn clean_up(&mut self, new: Option<usize>) {
        let limit = self.deployment.spec.revision_history_limit.filter(|&l| l != i32::MAX);
        let Some(limit) = limit.and_then(|l| usize::try_from(l).ok()) else { return };
        let old = self
            .sets
            .iter()
            .enumerate()
            .filter(|&(i, set)| Some(i) != new && !meta::is_terminating(&set.metadata));
        let mut old: Vec<_> = old.map(|(_, set)| set.clone()).collect();
        old.sort_by_key(|set| revision::of(&set.metadata));
        for set in old.iter().take(old.len().saturating_sub(limit)) {
            let observed = set.status.as_ref().and_then(|s| s.observed_generation).unwrap_or(0);
            let seen = set.metadata.generation.unwrap_or(0) <= observed;
            if replicas(set) == 0 && status::actual(set) == 0 && seen {
                self.changed |= self.draft.replica_sets.delete(&meta::key(&set.metadata), self.draft.now);
            }
        }
    }
}

#[cfg(test)]
#[path = "sync_test.rs"]
mod tests;
