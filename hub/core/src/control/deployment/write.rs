//! What one step of a Deployment leaves in its status.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DeploymentStatus, ReplicaSet};

use super::conditions::{self, PROGRESSING};
use super::rolled_back::{self, RolledBack};
use super::sync::{COMPONENT, Step};
use super::{revision, status};
use crate::Kind;
use crate::control::meta;

impl Step<'_, '_, '_> {
    /// What devices gave up of the new set.
    pub(super) fn rolled_back(&self, new: Option<usize>) -> Option<RolledBack> {
        rolled_back::of(self.draft, self.index, &self.sets[new?])
    }

    /// Writes the counts alone: nothing is under way.
    pub(super) fn write_counts(&mut self, new: Option<usize>) {
        let status = self.counted(new, self.rolled_back(new).map_or(0, |rolled_back| rolled_back.pods));
        self.write(status);
    }

    fn counted(&self, new: Option<usize>, rolled_back: i32) -> DeploymentStatus {
        let sets: Vec<&ReplicaSet> = self.sets.iter().map(Arc::as_ref).collect();
        let new = new.map(|i| sets[i]);
        status::count(&self.deployment, &self.status, &sets, new, rolled_back, self.draft.now)
    }

    /// Writes the counts and how far the rollout is.
    pub(super) fn write_progress(&mut self, new: Option<usize>) {
        let now = self.draft.now;
        let rolled_back = self.rolled_back(new);
        let mut after = self.counted(new, rolled_back.as_ref().map_or(0, |rolled_back| rolled_back.pods));
        let sets: Vec<&ReplicaSet> = self.sets.iter().map(Arc::as_ref).collect();
        let new = new.map(|i| sets[i]);
        let due = match &rolled_back {
            Some(rolled_back) => {
                status::give_up(&mut after, &rolled_back.message, now);
                None
            }
            None => status::progress(&self.deployment, &self.status, &mut after, new, now),
        };
        status::take_failures(&mut after, &sets, new);
        if let Some(due) = due {
            self.draft.due(due);
        }
        let said = |status: &DeploymentStatus| conditions::get(status, PROGRESSING)?.message.clone();
        if let Some(rolled_back) = rolled_back.filter(|r| said(&self.status).as_ref() != Some(&r.message)) {
            let about = &self.deployment.metadata;
            self.draft.event(Kind::DEPLOYMENT, about, true, "RolledBack", rolled_back.message, COMPONENT);
        }
        self.write(after);
    }

    fn write(&mut self, status: DeploymentStatus) {
        let old = self.deployment.as_ref();
        let revision =
            self.revision.take().filter(|r| meta::annotation(&old.metadata, revision::REVISION) != Some(r));
        if old.status.as_ref() == Some(&status) && revision.is_none() {
            return;
        }
        self.changed |= self.draft.deployments.update(&meta::key(&old.metadata), |deployment| {
            deployment.status = Some(status);
            if let Some(revision) = revision {
                let annotations = deployment.metadata.annotations.get_or_insert_default();
                annotations.insert(revision::REVISION.to_owned(), revision);
            }
        });
    }
}
