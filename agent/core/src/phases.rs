//! What is told about a pod: phase, container states and reasons, in kubelet's words.

use std::collections::BTreeMap;

use gannet_protocols_model::{
    Container, ContainerState, ContainerStatus, ImageReference, Manifest, PodPhase, PodStatus, PodUid,
    PullPolicy, RestartPolicy, Terminated, Timestamp,
};

use crate::container_id::ContainerId;
use crate::desired::{DesiredPod, DesiredWorld};
use crate::observed::{Images, Live, LiveState, Observed, ObservedPod};
use crate::resize::{progress, resize};
use crate::restart::restarts;

/// The status of every pod that is desired or of which something is left.
pub fn observed_statuses(
    desired: &DesiredWorld,
    observed: &Observed,
    now: Timestamp,
) -> BTreeMap<PodUid, PodStatus> {
    let status = |uid: &PodUid, pod: &ObservedPod| {
        pod_status(uid, desired.pods.get(uid).map(AsRef::as_ref), pod, &observed.images, now)
    };
    observed.pods.iter().map(|(uid, pod)| (uid.clone(), status(uid, pod))).collect()
}

/// The status of one pod.
pub fn pod_status(
    uid: &PodUid,
    wanted: Option<&DesiredPod>,
    pod: &ObservedPod,
    images: &Images,
    now: Timestamp,
) -> PodStatus {
    let manifest = wanted.and_then(|w| w.manifest.as_deref());
    // Whether what ended is started again, as far as the restart policy lets it.
    let goes_on = pod.record.ended.is_none()
        && wanted.is_some_and(|w| w.entry.stop_within_seconds.is_none())
        && !manifest.is_some_and(|m| pod.is_finished(m));
    let teller = Teller { uid, pod, manifest, goes_on, images, now };
    let (init, main) = match manifest {
        Some(manifest) => {
            let init = teller.init(manifest);
            let main = teller.main(manifest, &init);
            (init, main)
        }
        None => (Vec::new(), teller.unknown()),
    };
    let ended = pod.record.ended.as_ref();
    let phase = match (ended, manifest) {
        (Some(_), _) => PodPhase::Failed,
        (None, Some(manifest)) => phase(manifest, &init, &main),
        (None, None) => PodPhase::Running,
    };
    let failure = pod.failure.as_ref().filter(|_| matches!(phase, PodPhase::Pending));
    let missing = wanted.is_some_and(|w| w.manifest.is_none());
    PodStatus {
        uid: uid.clone(),
        namespace: pod.record.namespace.clone(),
        name: pod.record.name.clone(),
        manifest: wanted.map_or(pod.record.manifest, |w| w.entry.manifest),
        phase: if missing && ended.is_none() && pod.sandbox.is_none() { PodPhase::Pending } else { phase },
        reason: ended.map(|e| e.reason.clone()).or(missing.then(|| "ManifestMissing".to_owned())),
        message: ended.map(|e| &e.message).or(failure.map(|f| &f.message)).cloned(),
        ip: pod.sandbox.as_ref().and_then(|s| s.ip),
        started_at: Some(pod.record.first_seen),
        rolled_back: wanted.and_then(|w| w.instead.as_ref()).and_then(|i| i.rolled_back.clone()),
        resize: manifest.and_then(|m| progress(pod, m)),
        init_containers: init,
        containers: main,
    }
}

struct Teller<'a> {
    uid: &'a PodUid,
    pod: &'a ObservedPod,
    manifest: Option<&'a Manifest>,
    goes_on: bool,
    images: &'a Images,
    now: Timestamp,
}

impl Teller<'_> {
    fn init(&self, manifest: &Manifest) -> Vec<ContainerStatus> {
        let mut before_done = true;
        let begun = manifest.containers.iter().any(|c| self.pod.live(&c.name).is_some());
        let mut list = Vec::with_capacity(manifest.init_containers.len());
        for container in &manifest.init_containers {
            let status = self.container(container, before_done || begun, !container.sidecar);
            before_done &= match &status.state {
                ContainerState::Terminated(t) => !container.sidecar && t.exit_code == 0,
                ContainerState::Running { .. } => container.sidecar && status.started,
                ContainerState::Waiting { .. } => false,
            };
            list.push(status);
        }
        list
    }

    fn main(&self, manifest: &Manifest, init: &[ContainerStatus]) -> Vec<ContainerStatus> {
        let begun = manifest.containers.iter().any(|c| self.pod.live(&c.name).is_some());
        let done = manifest.init_containers.iter().zip(init).all(|(container, status)| {
            let live = self.pod.live(&container.name);
            match live.map(|l| &l.state) {
                Some(LiveState::Running { .. }) => container.sidecar && status.started,
                Some(LiveState::Exited { exit, .. }) => !container.sidecar && exit.code == 0,
                Some(LiveState::Created) | None => false,
            }
        });
        manifest.containers.iter().map(|c| self.container(c, begun || done, false)).collect()
    }

    /// `turn`: whether all that has to run before it is done.
    fn container(&self, container: &Container, turn: bool, init: bool) -> ContainerStatus {
        let name = &container.name;
        let live = self.pod.live(name);
        let history = self.pod.history(name);
        let state = self.state(container, turn, init);
        let running = matches!(state, ContainerState::Running { .. });
        let observed = self.pod.containers.get(name);
        let before = match &state {
            // The crash that it waits after.
            ContainerState::Waiting { .. } => {
                self.pod.ended(name).or_else(|| history.and_then(|h| h.last.clone()))
            }
            ContainerState::Running { .. } => history.and_then(|h| h.last.clone()),
            ContainerState::Terminated(t) => history.and_then(|h| h.last.clone()).filter(|last| last != t),
        };
        let succeeded = matches!(&state, ContainerState::Terminated(t) if t.exit_code == 0);
        ContainerStatus {
            name: name.clone(),
            last: before,
            restart_count: restart_count(live, history.map_or(0, |h| h.attempts)),
            ready: if init { succeeded } else { running && observed.is_some_and(|o| o.is_ready(container)) },
            started: running && observed.is_some_and(|o| o.is_started(container)),
            resources: resize(self.pod, container).map(|r| r.has),
            image_id: history
                .filter(|h| live.is_some() || h.last.is_some())
                .and_then(|h| h.image.as_ref())
                .map(|i| i.digest),
            container_id: live.map(|l| container_id(self.uid, name, l)),
            state,
        }
    }

    fn state(&self, container: &Container, turn: bool, init: bool) -> ContainerState {
        let name = &container.name;
        if let Some(Live { state: LiveState::Running { started_at }, .. }) = self.pod.live(name) {
            return ContainerState::Running { started_at: *started_at };
        }
        let rerun = init && self.pod.live(name).is_none() && self.pod.sandbox.is_none();
        if let Some(ended) = self.pod.ended(name).filter(|_| !rerun) {
            let again =
                self.goes_on && self.again(container, ended.exit_code) && !(init && ended.exit_code == 0);
            return if again { self.restarting(container, ended) } else { ContainerState::Terminated(ended) };
        }
        if !turn {
            return waiting("PodInitializing", String::new());
        }
        // kubelet's default is one for all containers: `kubectl get` makes `Init:0/1` of it.
        let not_started = || {
            let has_init = self.manifest.is_some_and(|m| !m.init_containers.is_empty());
            waiting(if has_init { "PodInitializing" } else { "ContainerCreating" }, String::new())
        };
        self.trouble(container).unwrap_or_else(not_started)
    }

    /// Whether a container that ended with this code has another run.
    fn again(&self, container: &Container, code: i32) -> bool {
        container.sidecar
            || self.pod.history(&container.name).is_some_and(|h| h.renew)
            || self.manifest.is_some_and(|m| restarts(m.restart_policy, code))
    }

    /// Ended, and to be started again: waits, or is about to.
    fn restarting(&self, container: &Container, ended: Terminated) -> ContainerState {
        let backoff = self.pod.history(&container.name).filter(|h| !h.renew).and_then(|h| h.backoff);
        if let Some(backoff) = backoff.filter(|b| b.until(ended.finished_at, self.now).is_some()) {
            let (name, record) = (&container.name, &self.pod.record);
            let message = format!(
                "back-off {} restarting failed container={name} pod={}_{}({})",
                go_duration(backoff.seconds),
                record.name,
                record.namespace,
                self.uid
            );
            return waiting("CrashLoopBackOff", message);
        }
        self.trouble(container).unwrap_or(ContainerState::Terminated(ended))
    }

    /// What keeps the container from being started.
    fn trouble(&self, container: &Container) -> Option<ContainerState> {
        let failure = self.pod.containers.get(&container.name).and_then(|c| c.failure.as_ref());
        if let Some(failure) = failure {
            return Some(waiting(failure.reason, failure.message.clone()));
        }
        let here = self.images.local.contains_key(&container.image);
        if container.pull_policy == PullPolicy::Never && !here {
            let image = &container.image;
            let text = format!("Container image \"{image}\" is not present with pull policy of Never");
            return Some(waiting("ErrImageNeverPull", text));
        }
        self.pull_trouble(&container.image)
    }

    fn pull_trouble(&self, image: &ImageReference) -> Option<ContainerState> {
        let failure = self.images.failures.get(image)?;
        Some(if failure.times == 1 {
            waiting("ErrImagePull", failure.message.clone())
        } else {
            let text = format!("Back-off pulling image \"{image}\": ErrImagePull: {}", failure.message);
            waiting("ImagePullBackOff", text)
        })
    }

    /// Containers of a pod whose manifest is not here.
    fn unknown(&self) -> Vec<ContainerStatus> {
        let status = |name: &String| {
            let live = self.pod.live(name);
            let state = match live.map(|l| &l.state) {
                Some(LiveState::Running { started_at }) => {
                    ContainerState::Running { started_at: *started_at }
                }
                _ => match self.pod.ended(name) {
                    Some(ended) => ContainerState::Terminated(ended),
                    None => waiting("ContainerCreating", String::new()),
                },
            };
            let history = self.pod.history(name);
            let running = matches!(state, ContainerState::Running { .. });
            ContainerStatus {
                name: name.clone(),
                state,
                last: None,
                restart_count: restart_count(live, history.map_or(0, |h| h.attempts)),
                ready: running && history.is_some_and(|h| h.ready),
                started: running,
                resources: None,
                image_id: history.and_then(|h| h.image.as_ref()).map(|i| i.digest),
                container_id: live.map(|l| container_id(self.uid, name, l)),
            }
        };
        self.pod.containers.keys().map(status).collect()
    }
}

fn restart_count(live: Option<&Live>, attempts: u32) -> u32 {
    live.map_or(attempts.saturating_sub(1), |l| l.attempt)
}

fn container_id(uid: &PodUid, name: &str, live: &Live) -> String {
    let id =
        ContainerId { name: name.to_owned(), attempt: live.attempt, definition: live.definition.clone() };
    format!("{uid}/{id}")
}

fn waiting(reason: &str, message: String) -> ContainerState {
    ContainerState::Waiting { reason: reason.to_owned(), message }
}

/// Seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
fn go_duration(seconds: u32) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

/// kubelet's rules (`getPhase`).
fn phase(manifest: &Manifest, init: &[ContainerStatus], main: &[ContainerStatus]) -> PodPhase {
    let policy = manifest.restart_policy;
    let (mut pending_init, mut pending_sidecar, mut sidecar_runs) = (false, false, false);
    for (container, status) in manifest.init_containers.iter().zip(init) {
        let running = matches!(status.state, ContainerState::Running { .. });
        if container.sidecar {
            sidecar_runs |= running;
            pending_sidecar |= match &status.state {
                ContainerState::Running { .. } => !status.started,
                ContainerState::Terminated(_) => false,
                ContainerState::Waiting { .. } => status.last.is_none(),
            };
            continue;
        }
        match &status.state {
            ContainerState::Terminated(t) if t.exit_code == 0 => {}
            ContainerState::Terminated(_) if policy == RestartPolicy::Never => return PodPhase::Failed,
            _ => pending_init = true,
        }
    }
    let (mut running, mut waiting, mut succeeded, mut failed) = (0, 0, 0, 0);
    for status in main {
        match (&status.state, &status.last) {
            (ContainerState::Running { .. }, _) => running += 1,
            (ContainerState::Waiting { .. }, None) => waiting += 1,
            (ContainerState::Terminated(t), _) | (ContainerState::Waiting { .. }, Some(t))
                if t.exit_code == 0 =>
            {
                succeeded += 1;
            }
            _ => failed += 1,
        }
    }
    // A sidecar that is started again does not make a pod pending that had begun.
    let begun = running + succeeded + failed > 0;
    if (pending_init && running == 0) || (pending_sidecar && !begun) || waiting > 0 {
        return PodPhase::Pending;
    }
    match policy {
        // A pod is at its end when its last sidecar is.
        _ if running > 0 || sidecar_runs => PodPhase::Running,
        RestartPolicy::Always => PodPhase::Running,
        _ if failed == 0 && succeeded > 0 => PodPhase::Succeeded,
        RestartPolicy::Never => PodPhase::Failed,
        RestartPolicy::OnFailure => PodPhase::Running,
    }
}

#[cfg(test)]
#[path = "phases_test.rs"]
mod tests;
