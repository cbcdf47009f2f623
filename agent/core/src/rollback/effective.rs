//! The world that the node works towards, and the pulls for what it does not work towards yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model::{Container, Digest, Manifest, PodEntry, PodUid, PullPolicy, Timestamp};

use super::memory::{Healthy, RollbackMemory, owner_of};
use crate::action::Action;
use crate::desired::{DesiredPod, DesiredWorld, Instead};
use crate::observed::{Images, Observed};

impl RollbackMemory {
    /// The world that the document names, with the last healthy manifest in place of those that failed or whose images
    /// have not come. `manifest` looks up the targets. Applied again, it changes nothing.
    pub fn effective(
        &self,
        named: &DesiredWorld,
        observed: &Observed,
        manifest: impl Fn(&Digest) -> Option<Arc<Manifest>>,
    ) -> DesiredWorld {
        let pods = named.pods.iter().map(|(uid, pod)| {
            let other = self.instead(uid, pod, observed, &manifest);
            (uid.clone(), other.map_or_else(|| Arc::clone(pod), Arc::new))
        });
        DesiredWorld { pods: pods.collect(), ..named.clone() }
    }

    fn instead(
        &self,
        uid: &PodUid,
        pod: &DesiredPod,
        observed: &Observed,
        manifest: impl Fn(&Digest) -> Option<Arc<Manifest>>,
    ) -> Option<DesiredPod> {
        let (entry, digest) = (&pod.entry, &pod.entry.manifest);
        if entry.stop_within_seconds.is_some() {
            return None;
        }
        let owner = self.owners.get(&owner_of(entry))?;
        let target = owner.target(digest)?;
        let healthy = manifest(&target.manifest)?;
        if let Some(rolled_back) = owner.failed.get(digest) {
            let failed = Some(rolled_back.failed);
            let instead = Instead { rolled_back: Some(rolled_back.clone()), failed, waits_for: None };
            return Some(swapped(entry, target, Arc::new(pinned(&healthy, target)), instead));
        }
        if let Some(meanwhile) = owner.trials.get(digest).and_then(|t| t.meanwhile.as_ref()) {
            let rolled_back = Some(meanwhile.clone());
            let instead = Instead { rolled_back, failed: None, waits_for: pod.manifest.clone() };
            return Some(swapped(entry, target, healthy, instead));
        }
        // A pod that runs the healthy one goes on with it, also through crashes, until the new images are here.
        let runs = observed.pods.get(uid).is_some_and(|p| p.record.manifest == target.manifest);
        // Not while a name is merely asked for anew: the plan asks itself, and would be stopped from it again and again.
        let missing = |c: &Container| {
            c.pull_policy != PullPolicy::Never && !observed.images.local.contains_key(&c.image)
        };
        let waits_for = pod.manifest.clone().filter(|m| runs && m.all_containers().any(missing))?;
        let instead = Instead { rolled_back: None, failed: None, waits_for: Some(waits_for) };
        Some(swapped(entry, target, healthy, instead))
    }
}

fn swapped(entry: &PodEntry, target: &Healthy, manifest: Arc<Manifest>, instead: Instead) -> DesiredPod {
    let mut entry = entry.clone();
    entry.manifest = target.manifest;
    for (name, value) in &target.fields {
        entry.fields.entry(name.clone()).or_insert_with(|| value.clone());
    }
    DesiredPod { entry, manifest: Some(manifest), instead: Some(instead) }
}

/// The manifest with its images by digest: what a tag stands for now may be what failed.
fn pinned(manifest: &Manifest, healthy: &Healthy) -> Manifest {
    let mut manifest = manifest.clone();
    for container in manifest.init_containers.iter_mut().chain(&mut manifest.containers) {
        // One that must not be pulled is known by its name alone.
        let digest =
            healthy.images.get(&container.image).filter(|_| container.pull_policy != PullPolicy::Never);
        if let Some(digest) = digest {
            container.image = container.image.pinned(*digest);
        }
    }
    manifest
}

/// Whether all images of a manifest are here, as far as the node can tell.
pub(super) fn are_here(manifest: &Manifest, images: &Images) -> bool {
    manifest.all_containers().all(|container| is_here(container, images))
}

/// An image that is here under a name which is being asked for anew is not here yet. One that must not be pulled will
/// never come: the deadline deals with that.
fn is_here(container: &Container, images: &Images) -> bool {
    let image = &container.image;
    let asked = container.pull_policy == PullPolicy::Always
        && image.digest().is_none()
        && (images.pulling.contains(image) || images.failures.contains_key(image));
    container.pull_policy == PullPolicy::Never || (images.local.contains_key(image) && !asked)
}

/// The pulls for manifests in whose place others run, and when to look again. The plan knows only what runs.
pub(crate) fn pulls(
    effective: &DesiredWorld,
    images: &Images,
    now: Timestamp,
) -> (Vec<Action>, Option<Timestamp>) {
    let (mut pulls, mut wake) = (BTreeMap::new(), None::<Timestamp>);
    for manifest in effective.pods.values().filter_map(|p| p.instead.as_ref()?.waits_for.as_ref()) {
        for container in manifest.all_containers().filter(|c| !is_here(c, images)) {
            if images.pulling.contains(&container.image) {
                continue;
            }
            match images.failures.get(&container.image).and_then(|f| f.retry_at(now)) {
                Some(at) => wake = Some(wake.map_or(at, |w| w.min(at))),
                None => {
                    pulls.insert(&container.image, container.pull_policy);
                }
            }
        }
    }
    (pulls.into_iter().map(|(image, policy)| Action::pull(image, policy)).collect(), wake)
}
