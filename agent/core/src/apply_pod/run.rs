//! The beginning and the end of a container's run.

use gannet_protocols_model::{Digest, ImageReference, NodeEvent, Resources, Terminated, Timestamp};

use super::{Change, present};
use crate::apply::NO_DEVICES;
use crate::container_id::ContainerId;
use crate::fact::{StartFailure, StartStep};
use crate::observed::{Exit, Failure, Hook, Live, LiveState, ObservedContainer, ObservedPod};
use crate::record::ResolvedImage;
use crate::restart::Backoff;

/// The exit code of a container whose command could not be run, as container engines have it.
const START_ERROR_CODE: i32 = 128;

/// How a run was started.
pub(super) struct Start {
    pub(super) image: ImageReference,
    pub(super) digest: Digest,
    pub(super) stop_signal: i32,
    pub(super) resources: Resources,
    pub(super) at: Timestamp,
}

impl Change<'_> {
    pub(super) fn started(&self, pod: &mut ObservedPod, id: &ContainerId, start: Start) -> Vec<NodeEvent> {
        let Start { image, digest, stop_signal, resources, at } = start;
        let image = ResolvedImage { name: image, digest };
        let crashed = pod.ended(&id.name).filter(|e| e.reason != "ContainerStatusUnknown");
        let record = pod.record.containers.entry(id.name.clone()).or_default();
        let same_image = record.image.as_ref().is_none_or(|i| i.name == image.name);
        record.backoff = match &crashed {
            Some(last) if same_image && !record.renew => {
                Some(Backoff::after(record.backoff, last.finished_at, self.now))
            }
            Some(_) if same_image => record.backoff,
            _ => None,
        };
        if let Some(crashed) = crashed {
            record.last = Some(crashed);
        }
        record.attempts = id.attempt.saturating_add(1);
        record.image = Some(image);
        record.stop_signal = Some(stop_signal);
        record.started_at = Some(at);
        record.running = true;
        record.over = false;
        record.ready = false;
        record.started = false;
        record.renew = false;
        record.leaving_since = None;
        record.resources = Some(resources);
        let hooks = self.container(&id.name).is_some_and(|c| c.post_start.is_some());
        record.hooked = !hooks;
        let live = Live {
            attempt: id.attempt,
            definition: id.definition.clone(),
            state: LiveState::Running { started_at: at },
            post_start: if hooks { Hook::Waiting } else { Hook::Done },
            stopping: None,
        };
        let container = ObservedContainer { live: Some(live), ..ObservedContainer::default() };
        pod.containers.insert(id.name.clone(), container);
        self.note_probes(pod, &id.name);
        let teller = self.teller();
        vec![
            teller.normal(Some(&id.name), "Created", format!("Created container: {}", id.name)),
            teller.normal(Some(&id.name), "Started", format!("Started container {}", id.name)),
        ]
    }

    pub(super) fn not_started(
        &self,
        pod: &mut ObservedPod,
        id: &ContainerId,
        failure: StartFailure,
    ) -> Vec<NodeEvent> {
        let reason = match failure.step {
            StartStep::Config => "CreateContainerConfigError",
            StartStep::Create => "CreateContainerError",
            StartStep::Devices => NO_DEVICES,
            StartStep::Run => "RunContainerError",
        };
        let message = failure.message;
        let told = self.teller().warning(Some(&id.name), "Failed", format!("Error: {message}"));
        if failure.step == StartStep::Run {
            self.run_failed(pod, id, message);
            return vec![told];
        }
        let container = pod.containers.entry(id.name.clone()).or_default();
        let failure = Failure::after(container.failure.as_ref(), reason, message, self.now);
        let first = failure.times == 1;
        container.failure = Some(failure);
        if first { vec![told] } else { Vec::new() }
    }

    /// A command that cannot be run counts as a run that ended at once.
    fn run_failed(&self, pod: &mut ObservedPod, id: &ContainerId, message: String) {
        let crashed = pod.ended(&id.name);
        let record = pod.record.containers.entry(id.name.clone()).or_default();
        if let Some(last) = crashed {
            record.backoff = Some(Backoff::after(record.backoff, last.finished_at, self.now));
        }
        record.attempts = id.attempt.saturating_add(1);
        record.running = false;
        record.renew = false;
        record.leaving_since = None;
        record.last = Some(Terminated {
            exit_code: START_ERROR_CODE,
            signal: None,
            reason: "StartError".to_owned(),
            message,
            started_at: None,
            finished_at: self.now,
        });
        let over = self.is_over(pod, &id.name, START_ERROR_CODE);
        pod.record.containers.entry(id.name.clone()).or_default().over = over;
        pod.containers.insert(id.name.clone(), ObservedContainer::default());
    }

    pub(super) fn exited(&self, pod: &mut ObservedPod, id: &ContainerId, exit: Exit) -> Vec<NodeEvent> {
        let Some(live) = present(pod, id) else { return Vec::new() };
        let started_at = match live.state {
            LiveState::Running { started_at } => Some(started_at),
            LiveState::Created => None,
            LiveState::Exited { .. } => return Vec::new(),
        };
        live.state = LiveState::Exited { started_at, exit: exit.clone() };
        live.stopping = None;
        let over = self.is_over(pod, &id.name, exit.code);
        if let Some(container) = pod.containers.get_mut(&id.name) {
            container.resize = None;
        }
        let record = pod.record.containers.entry(id.name.clone()).or_default();
        record.running = false;
        record.ready = false;
        record.started = false;
        record.over = over;
        if over {
            record.last = Some(exit.to_terminated(started_at));
        } else if !self.leaves(pod) && self.waits(pod, &id.name, exit.at) {
            let (name, record) = (&id.name, &pod.record);
            let text = format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                record.name, record.namespace, self.uid
            );
            return vec![self.teller().warning(Some(name), "BackOff", text)];
        }
        Vec::new()
    }

    fn waits(&self, pod: &ObservedPod, name: &str, failed: Timestamp) -> bool {
        pod.history(name)
            .is_some_and(|h| !h.renew && h.backoff.is_some_and(|b| b.until(failed, self.now).is_some()))
    }

    /// Whether nothing of the pod is to be started again.
    pub(super) fn leaves(&self, pod: &ObservedPod) -> bool {
        let manifest = self.wanted.and_then(|w| w.manifest.as_deref());
        self.wanted.is_none_or(|w| w.entry.stop_within_seconds.is_some())
            || pod.record.ended.is_some()
            || manifest.is_some_and(|m| pod.is_finished(m))
    }
}
