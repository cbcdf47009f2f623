//! From what should be and what is to what to do next. Level-triggered: nothing is remembered from one plan to the next.

use std::collections::BTreeMap;
use std::time::Duration;

use gannet_protocols_model::{Container, Digest, ImageReference, Manifest, PodUid, PullPolicy, Timestamp};

use crate::action::Action;
use crate::container_id::{ContainerId, Definition};
use crate::desired::{DesiredPod, DesiredWorld};
use crate::observed::{Live, LiveState, Observed, ObservedPod, Stopping};
use crate::restart::restarts;

/// SIGTERM, where the image names no other signal.
const SIGTERM: i32 = 15;
/// A process that survives SIGKILL (it hangs in the kernel) is killed again this often.
const KILL_AGAIN: Duration = Duration::from_secs(10);

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

/// A pod that should run.
struct Wanted<'a> {
    uid: &'a PodUid,
    pod: &'a ObservedPod,
    manifest: &'a Manifest,
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
        let Some(wanted) = wanted else { return self.stop_pod(uid, pod, pod.record.grace_seconds) };
        if let Some(grace) = wanted.entry.stop_within_seconds {
            return self.stop_pod(uid, pod, grace);
        }
        // Without its manifest a pod is left as it is until the blob has come.
        let Some(manifest) = &wanted.manifest else { return };
        let wanted_pod = Wanted { uid, pod, manifest };
        if wanted_pod.is_finished() {
            return self.stop_rest(&wanted_pod);
        }
        if pod.sandbox.is_none() {
            if self.retry(pod) {
                self.actions.push(Action::PreparePod { pod: uid.clone() });
            } else {
                self.pull_ahead(&wanted_pod);
                return;
            }
        } else if pod.record.manifest != wanted.entry.manifest && self.retry(pod) {
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

    fn containers(&mut self, wanted: &Wanted<'a>) {
        self.pull_ahead(wanted);
        if !wanted.init_is_done() {
            for init in &wanted.manifest.init_containers {
                if wanted.succeeded(init) {
                    continue;
                }
                return self.container(wanted, init, true);
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
            let changed =
                wanted.pod.live(&container.name).is_none_or(|l| l.definition != Definition::of(container));
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

    fn container(&mut self, wanted: &Wanted<'a>, container: &'a Container, init: bool) {
        let (pod, name) = (wanted.pod, &container.name);
        let definition = Definition::of(container);
        let history = pod.history(name);
        match pod.live(name) {
            None => {
                let over = history.is_some_and(|h| h.over);
                let failure = pod.containers.get(name).and_then(|c| c.failure.as_ref());
                if over && !init {
                    return;
                }
                if let Some(at) = failure.and_then(|f| f.retry_at(self.now)) {
                    return self.wake(at);
                }
                if let Some(at) = wanted.backoff_until(container, self.now).filter(|_| !over) {
                    return self.wake(at);
                }
                self.start(wanted, container, definition, None);
            }
            Some(live @ Live { state: LiveState::Created, .. }) => {
                self.start(wanted, container, definition, Some(live))
            }
            Some(live @ Live { state: LiveState::Running { .. }, .. }) => {
                self.running(wanted, container, live, &definition);
            }
            Some(live @ Live { state: LiveState::Exited { exit, .. }, .. }) => {
                if !restarts(wanted.manifest.restart_policy, exit.code) {
                    return;
                }
                let changed = live.definition != definition;
                if let Some(at) = wanted.backoff_until(container, self.now).filter(|_| !changed) {
                    return self.wake(at);
                }
                self.start(wanted, container, definition, Some(live));
            }
        }
    }

    fn start(
        &mut self,
        wanted: &Wanted<'a>,
        container: &'a Container,
        definition: Definition,
        old: Option<&Live>,
    ) {
        let Some(image) = self.image(wanted.pod, container) else { return };
        let (pod, name) = (wanted.uid.clone(), &container.name);
        if let Some(old) = old {
            self.actions.push(Action::RemoveContainer { pod: pod.clone(), id: run_of(name, old) });
        }
        let attempt = wanted.pod.history(name).map_or(0, |h| h.attempts);
        let id = ContainerId { name: name.clone(), attempt, definition };
        self.actions.push(Action::StartContainer { pod, id, image });
    }

    fn running(
        &mut self,
        wanted: &Wanted<'a>,
        container: &'a Container,
        live: &Live,
        definition: &Definition,
    ) {
        let name = &container.name;
        let why = if live.stopping.is_some() {
            String::new()
        } else if live.definition != *definition {
            // The old one runs until the new image is here.
            if self.image(wanted.pod, container).is_none() {
                return;
            }
            format!("Container {name} definition changed, will be restarted")
        } else if let Some(kind) = wanted.pod.containers.get(name).and_then(|c| c.probes.fatal(container)) {
            format!("Container {name} failed {} probe, will be restarted", kind.as_str().to_lowercase())
        } else {
            return;
        };
        self.stop(wanted.uid, wanted.pod, name, live, wanted.manifest.termination_grace_seconds, why);
    }

    /// Asks a running container to end, and after its grace makes it.
    fn stop(&mut self, uid: &PodUid, pod: &ObservedPod, name: &str, live: &Live, grace: u32, why: String) {
        let grace = Duration::from_secs(u64::from(grace));
        let id = run_of(name, live);
        let kill = Action::KillContainer { pod: uid.clone(), id: id.clone() };
        match live.stopping {
            None if grace.is_zero() => self.actions.push(kill),
            None => {
                let signal = pod.history(name).and_then(|h| h.stop_signal).unwrap_or(SIGTERM);
                let deadline = self.now.plus(grace);
                self.actions.push(Action::StopContainer { pod: uid.clone(), id, signal, deadline, why });
            }
            Some(Stopping { since, deadline, killed }) => {
                let (from, until) = match killed {
                    Some(killed) => (killed, killed.plus(KILL_AGAIN)),
                    None => (since, deadline.min(since.plus(grace))),
                };
                // Where the clock moved back, the wait is over rather than longer.
                if self.now >= until || self.now < from {
                    self.actions.push(kill);
                } else {
                    self.wake(until);
                }
            }
        }
    }

    fn stop_pod(&mut self, uid: &PodUid, pod: &ObservedPod, grace: u32) {
        let running = pod
            .containers
            .iter()
            .filter_map(|(n, c)| c.live.as_ref().filter(|l| l.is_running()).map(|l| (n, l)));
        let mut any = false;
        for (name, live) in running {
            any = true;
            self.stop(uid, pod, name, live, grace, format!("Stopping container {name}"));
        }
        if !any && self.retry(pod) {
            self.actions.push(Action::RemovePod { pod: uid.clone() });
        }
    }

    /// A pod that is finished although something in it runs: an init container failed for good beside others.
    fn stop_rest(&mut self, wanted: &Wanted<'a>) {
        for (name, container) in &wanted.pod.containers {
            if let Some(live) = container.live.as_ref().filter(|l| l.is_running()) {
                let why = format!("Stopping container {name}");
                let grace = wanted.manifest.termination_grace_seconds;
                self.stop(wanted.uid, wanted.pod, name, live, grace, why);
            }
        }
    }
}

fn run_of(name: &str, live: &Live) -> ContainerId {
    ContainerId { name: name.to_owned(), attempt: live.attempt, definition: live.definition.clone() }
}

impl Wanted<'_> {
    /// Whether nothing of the pod will ever be started again.
    fn is_finished(&self) -> bool {
        let over = |c: &Container| {
            self.pod.history(&c.name).is_some_and(|h| h.over)
                && !self.pod.live(&c.name).is_some_and(Live::is_running)
        };
        let init_failed =
            |c: &Container| over(c) && self.pod.ended(&c.name).is_some_and(|e| e.exit_code != 0);
        self.manifest.init_containers.iter().any(init_failed) || self.manifest.containers.iter().all(over)
    }

    fn init_is_done(&self) -> bool {
        self.manifest.init_containers.iter().all(|c| self.succeeded(c))
            || self.manifest.containers.iter().any(|c| self.pod.live(&c.name).is_some())
    }

    /// Whether an init container succeeded in this sandbox.
    fn succeeded(&self, container: &Container) -> bool {
        let live = self.pod.live(&container.name);
        live.is_some_and(|l| matches!(l.state, LiveState::Exited { exit, .. } if exit.code == 0))
    }

    fn backoff_until(&self, container: &Container, now: Timestamp) -> Option<Timestamp> {
        let backoff = self.pod.history(&container.name)?.backoff?;
        backoff.until(self.pod.ended(&container.name)?.finished_at, now)
    }
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
