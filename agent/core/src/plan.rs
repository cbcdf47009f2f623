//! From what should be and what is to what to do next. Level-triggered: nothing is remembered from one plan to the next.

mod container;
mod stop;
mod wanted;

use std::collections::BTreeMap;
use std::time::Duration;

use gannet_protocols_model::{Container, Digest, ImageReference, Manifest, PodUid, PullPolicy, Timestamp};

use crate::action::Action;
use crate::container_id::ContainerId;
use crate::desired::{DesiredPod, DesiredWorld};
use crate::observed::{Live, Observed, ObservedPod, REMOVAL_FAILED};
use crate::record::PodEnd;
use stop::Stop;
use wanted::Wanted;

/// What to do now. Pulls come first; the actions of one pod stand in the order in which they must be done.
pub fn plan(desired: &DesiredWorld, observed: &Observed, now: Timestamp) -> Vec<Action> {
    let planner = Planner::run(desired, observed, now);
    let pulls = planner.pulls.iter().map(|(image, policy)| Action::pull(image, *policy));
    pulls.chain(planner.actions).collect()
}

/// When there is something to do, or something to tell, even if nothing happens until then.
pub fn wake_at(desired: &DesiredWorld, observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    Planner::run(desired, observed, now).wake
}

struct Planner<'a> {
    observed: &'a Observed,
    now: Timestamp,
    pulls: BTreeMap<&'a ImageReference, PullPolicy>,
    actions: Vec<Action>,
    wake: Option<Timestamp>,
}

impl<'a> Planner<'a> {
    fn run(desired: &'a DesiredWorld, observed: &'a Observed, now: Timestamp) -> Self {
        let mut planner = Self { observed, now, pulls: BTreeMap::new(), actions: Vec::new(), wake: None };
        for (uid, pod) in &observed.pods {
            planner.pod(uid, pod, desired.pods.get(uid).map(AsRef::as_ref));
        }
        planner
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    fn pod(&mut self, uid: &'a PodUid, pod: &'a ObservedPod, wanted: Option<&'a DesiredPod>) {
        if pod.busy {
            return;
        }
        let known = wanted.and_then(|w| w.manifest.as_deref()).or(pod.manifest.as_deref());
        let Some(wanted) = wanted else { return self.remove_pod(uid, pod, known, pod.record.grace_seconds) };
        if let Some(grace) = wanted.entry.stop_within_seconds {
            return self.remove_pod(uid, pod, known, grace);
        }
        if let Some(end) = &pod.record.ended {
            return self.ended(uid, pod, known, end);
        }
        // Without its manifest a pod is left as it is until the blob has come.
        let Some(manifest) = &wanted.manifest else { return };
        if pod.is_finished(manifest) {
            // Sidecars, and what ran beside an init container that failed for good.
            self.stop_all(uid, pod, Some(manifest), manifest.termination_grace_seconds);
            return;
        }
        let wanted_pod = Wanted { uid, pod, desired: wanted, manifest };
        if self.is_past_its_deadline(&wanted_pod) {
            return;
        }
        if pod.sandbox.is_none() {
            if self.retry(pod) {
                self.actions.push(Action::PreparePod { pod: uid.clone() });
            } else {
                self.pull_ahead(&wanted_pod);
                return;
            }
        } else if wanted.has_other_volumes(&pod.record) && self.retry(pod) {
            self.actions.push(Action::UpdateVolumes { pod: uid.clone() });
        }
        self.containers(&wanted_pod);
    }

    /// Whether what failed for the pod as a whole may be tried now.
    fn retry(&mut self, pod: &ObservedPod) -> bool {
        match pod.failure.as_ref().and_then(|f| f.retry_at(self.now)) {
            Some(at) => {
                self.wake(at);
                false
            }
            None => true,
        }
    }

    /// `activeDeadlineSeconds`, counted from when the node first heard of the pod, as kubelet does.
    fn is_past_its_deadline(&mut self, wanted: &Wanted<'_>) -> bool {
        let Some(seconds) = wanted.manifest.active_deadline_seconds else { return false };
        let at = wanted.pod.record.first_seen.plus(Duration::from_secs(seconds));
        if self.now < at {
            self.wake(at);
            return false;
        }
        let end = PodEnd {
            reason: "DeadlineExceeded".to_owned(),
            message: "Pod was active on the node longer than the specified deadline".to_owned(),
            at: self.now,
            grace_seconds: None,
        };
        self.actions.push(Action::EndPod { pod: wanted.uid.clone(), end });
        true
    }

    fn containers(&mut self, wanted: &Wanted<'a>) {
        self.pull_ahead(wanted);
        let inits = &wanted.manifest.init_containers;
        if wanted.has_begun() {
            for sidecar in inits.iter().filter(|c| c.sidecar) {
                self.container(wanted, sidecar, false);
            }
        } else {
            // Those before the last that was begun had their turn; of them only sidecars go on.
            let turn = inits.iter().rposition(|c| wanted.pod.live(&c.name).is_some()).unwrap_or(0);
            for (place, init) in inits.iter().enumerate() {
                let done = place < turn || wanted.is_initialized(init);
                if init.sidecar || !done {
                    self.container(wanted, init, !init.sidecar);
                }
                if !done {
                    return;
                }
            }
        }
        for container in &wanted.manifest.containers {
            self.container(wanted, container, false);
        }
    }

    /// All images at once, also those of containers that wait for init containers: on a slow link that saves time.
    fn pull_ahead(&mut self, wanted: &Wanted<'a>) {
        for container in wanted.manifest.all_containers() {
            let over = wanted.pod.history(&container.name).is_some_and(|h| h.over);
            let definition = wanted.desired.definition(container);
            let changed = wanted.pod.live(&container.name).is_none_or(|l| l.definition != definition);
            if changed && !over {
                self.image(wanted.pod, container);
            }
        }
    }

    /// The image that the container starts from, if it is here; otherwise a pull, unless one goes on or has to wait.
    fn image(&mut self, pod: &ObservedPod, container: &'a Container) -> Option<Digest> {
        let images = &self.observed.images;
        let resolved =
            pod.history(&container.name).and_then(|h| h.image.as_ref()).filter(|i| i.name == container.image);
        if let Some(resolved) = resolved.filter(|r| images.local.values().any(|d| *d == r.digest)) {
            return Some(resolved.digest);
        }
        let local = images.local.get(&container.image).copied();
        match container.pull_policy {
            PullPolicy::Never => return local,
            PullPolicy::IfNotPresent if local.is_some() => return local,
            PullPolicy::Always if local.is_some() && container.image.digest().is_some() => return local,
            PullPolicy::IfNotPresent | PullPolicy::Always => {}
        }
        if images.pulling.contains(&container.image) {
            return None;
        }
        match images.failures.get(&container.image).and_then(|f| f.retry_at(self.now)) {
            Some(at) => self.wake(at),
            None => {
                let policy = self.pulls.entry(&container.image).or_insert(container.pull_policy);
                if container.pull_policy == PullPolicy::Always {
                    *policy = PullPolicy::Always;
                }
            }
        }
        None
    }

    /// A pod that leaves the node.
    fn remove_pod(
        &mut self,
        uid: &'a PodUid,
        pod: &'a ObservedPod,
        manifest: Option<&'a Manifest>,
        grace: u32,
    ) {
        if self.stop_all(uid, pod, manifest, grace) {
            return;
        }
        // A removal that failed waits; what keeps the pod from being started does not keep it from being removed.
        let failed = pod.failure.as_ref().is_some_and(|f| f.reason == REMOVAL_FAILED);
        if !failed || self.retry(pod) {
            self.actions.push(Action::RemovePod { pod: uid.clone() });
        }
    }

    /// A pod that the node ended: it stays until nobody wants it any more.
    fn ended(&mut self, uid: &'a PodUid, pod: &'a ObservedPod, manifest: Option<&'a Manifest>, end: &PodEnd) {
        let grace = end.grace_seconds.unwrap_or(pod.record.grace_seconds);
        if self.stop_all(uid, pod, manifest, grace) {
            return;
        }
        // What an evicted pod has on the disk is what it has to give back.
        let left = pod.sandbox.is_some() || pod.containers.values().any(|c| c.live.is_some());
        if end.is_eviction() && left && self.retry(pod) {
            self.actions.push(Action::ClearPod { pod: uid.clone() });
        }
    }
}

fn run_of(name: &str, live: &Live) -> ContainerId {
    ContainerId { name: name.to_owned(), attempt: live.attempt, definition: live.definition.clone() }
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;

#[cfg(test)]
#[path = "plan/property_test.rs"]
mod property;

#[cfg(test)]
#[path = "plan/lifecycle_test.rs"]
mod lifecycle;
