//! How facts change one pod.

mod adopt;
mod hook;
mod run;

use gannet_protocols_model::{Container, EventKind, NodeEvent, PodUid, Timestamp};

use crate::container_id::ContainerId;
use crate::desired::DesiredPod;
use crate::event::Teller;
use crate::fact::{PodFact, PodStep};
use crate::observed::{Failure, Live, LiveState, ObservedContainer, ObservedPod, REMOVAL_FAILED, Sandbox};
use crate::probes::ProbeKind;
use crate::record::PodEnd;
use crate::resize::{DEFERRED, INFEASIBLE};
use crate::restart::restarts;
use run::Start;

/// One change of a pod: which pod it is, what it should be, and when.
pub(crate) struct Change<'a> {
    pub(crate) uid: &'a PodUid,
    pub(crate) wanted: Option<&'a DesiredPod>,
    pub(crate) now: Timestamp,
}

impl Change<'_> {
    fn teller(&self) -> Teller<'_> {
        Teller { pod: self.uid, at: self.now }
    }

    pub(crate) fn apply(&self, pod: &mut ObservedPod, fact: PodFact) -> Vec<NodeEvent> {
        match fact {
            PodFact::Adopted { ip, containers } => {
                pod.sandbox = Some(Sandbox { ip });
                containers.into_iter().for_each(|found| self.adopt(pod, found));
            }
            PodFact::SandboxLost => {
                pod.sandbox = None;
                pod.containers.values_mut().for_each(|c| c.live = None);
                self.lost_where_not_here(pod);
            }
            PodFact::Busy => pod.busy = true,
            PodFact::Idle => pod.busy = false,
            PodFact::Prepared { manifest, fields, ip } => {
                pod.sandbox = Some(Sandbox { ip });
                pod.failure = None;
                (pod.record.manifest, pod.record.fields) = (manifest, fields);
            }
            PodFact::VolumesUpdated { manifest, fields } => {
                pod.failure = None;
                (pod.record.manifest, pod.record.fields) = (manifest, fields);
            }
            PodFact::Failed { step, message } => return self.failed(pod, step, message),
            PodFact::Ended(end) => return self.ended(pod, end),
            PodFact::Cleared => {
                pod.containers
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
                    .iter()
                    .for_each(|name| forget_run(pod, name));
                (pod.sandbox, pod.failure) = (None, None);
            }
            PodFact::Removed => {}
            PodFact::Started { id, image, digest, stop_signal, resources, at } => {
                return self.started(pod, &id, Start { image, digest, stop_signal, resources, at });
            }
            PodFact::NotStarted { id, failure } => return self.not_started(pod, &id, failure),
            PodFact::PostStartBegan { id } => {
                if let Some(live) = present(pod, &id) {
                    live.post_start = crate::Hook::Running;
                }
            }
            PodFact::HookEnded { id, kind, result } => return self.hook_ended(pod, &id, kind, result),
            PodFact::Resized { id, resources } => {
                if present(pod, &id).is_some_and(|live| live.is_running()) {
                    pod.record.containers.entry(id.name.clone()).or_default().resources = Some(resources);
                    pod.containers.entry(id.name.clone()).or_default().resize = None;
                    let text = format!("Container {} resized", id.name);
                    return vec![self.teller().normal(Some(&id.name), "ResizeCompleted", text)];
                }
            }
            PodFact::NotResized { id, message, never } => return self.not_resized(pod, &id, message, never),
            PodFact::Exited { id, exit } => return self.exited(pod, &id, exit),
            PodFact::StopBegan { id, hook, deadline, why } => {
                return self.stop_began(pod, &id, hook, deadline, why);
            }
            PodFact::StopSent { id, deadline, why } => return self.stop_sent(pod, &id, deadline, why),
            PodFact::KillSent { id } => return self.kill_sent(pod, &id),
            PodFact::ContainerRemoved { id } => {
                if present(pod, &id).is_some() {
                    forget_run(pod, &id.name);
                }
            }
            PodFact::ProbeBegan { container, attempt, kind } => {
                if let Some(state) = running(pod, &container, attempt) {
                    state.probes.begin(kind, self.now);
                }
            }
            PodFact::ProbeLost { container, attempt, kind, message } => {
                if let Some(state) = running(pod, &container, attempt) {
                    state.probes.lose(kind);
                    let text =
                        format!("{} probe errored and resulted in unknown state: {message}", kind.as_str());
                    return vec![self.teller().warning(Some(&container), "Unhealthy", text)];
                }
            }
            PodFact::ProbeEnded { container, attempt, kind, result } => {
                return self.probed(pod, &container, attempt, kind, result);
            }
        }
        Vec::new()
    }

    fn container(&self, name: &str) -> Option<&Container> {
        self.wanted.and_then(|w| w.container(name))
    }

    /// Whether a container that ended with this code has no further run.
    fn is_over(&self, pod: &ObservedPod, name: &str, code: i32) -> bool {
        let Some(manifest) = self.wanted.and_then(|w| w.manifest.as_ref()) else { return false };
        if pod.history(name).is_some_and(|h| h.renew) {
            return false;
        }
        match manifest.init_containers.iter().find(|c| c.name == name) {
            Some(init) if init.sidecar => false,
            Some(_) if code == 0 => true,
            _ => !restarts(manifest.restart_policy, code),
        }
    }

    fn ended(&self, pod: &mut ObservedPod, end: PodEnd) -> Vec<NodeEvent> {
        if pod.record.ended.is_some() {
            return Vec::new();
        }
        // kubelet tells an eviction as a warning, a deadline as a matter of course.
        let kind = if end.is_eviction() { EventKind::Warning } else { EventKind::Normal };
        let event = self.teller().event(None, kind, &end.reason, end.message.clone());
        pod.record.ended = Some(end);
        vec![event]
    }

    fn failed(&self, pod: &mut ObservedPod, step: PodStep, message: String) -> Vec<NodeEvent> {
        let (reason, text) = match step {
            PodStep::Volumes => ("FailedMount", message.clone()),
            PodStep::Sandbox => {
                ("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {message}"))
            }
            PodStep::Removal => (REMOVAL_FAILED, format!("error killing pod: {message}")),
        };
        let failure =
            Failure::after(pod.failure.as_ref().filter(|f| f.reason == reason), reason, message, self.now);
        let told = failure.times == 1;
        pod.failure = Some(failure);
        if told { vec![self.teller().warning(None, reason, text)] } else { Vec::new() }
    }

    fn not_resized(
        &self,
        pod: &mut ObservedPod,
        id: &ContainerId,
        message: String,
        never: bool,
    ) -> Vec<NodeEvent> {
        if !present(pod, id).is_some_and(|live| live.is_running()) {
            return Vec::new();
        }
        let reason = if never { INFEASIBLE } else { DEFERRED };
        let container = pod.containers.entry(id.name.clone()).or_default();
        let failure = Failure::after(container.resize.as_ref(), reason, message, self.now);
        let text = format!("Container {}: {}", id.name, failure.message);
        let told = failure.times == 1;
        container.resize = Some(failure);
        if told { vec![self.teller().warning(Some(&id.name), reason, text)] } else { Vec::new() }
    }

    fn probed(
        &self,
        pod: &mut ObservedPod,
        name: &str,
        attempt: u32,
        kind: ProbeKind,
        result: Result<(), String>,
    ) -> Vec<NodeEvent> {
        let Some(container) = self.container(name) else { return Vec::new() };
        let (Some(state), Some(probe)) = (running(pod, name, attempt), kind.of(container)) else {
            return Vec::new();
        };
        let before = state.probes.get(kind).verdict;
        state.probes.end(kind, probe, result.is_ok());
        let mut events = Vec::new();
        if let Err(message) = result {
            let text = format!("{} probe failed: {message}", kind.as_str());
            events.push(self.teller().warning(Some(name), "Unhealthy", text));
        }
        if before != state.probes.get(kind).verdict {
            self.note_probes(pod, name);
        }
        events
    }

    /// Keeps in the record what an agent that is started anew must not forget.
    fn note_probes(&self, pod: &mut ObservedPod, name: &str) {
        let (Some(container), Some(state)) = (self.container(name), pod.containers.get(name)) else { return };
        let (ready, started) = (state.is_ready(container), state.probes.started(container));
        let record = pod.record.containers.entry(name.to_owned()).or_default();
        record.ready = ready;
        record.started = started;
    }
}

/// The present run, if it is this one.
fn present<'a>(pod: &'a mut ObservedPod, id: &ContainerId) -> Option<&'a mut Live> {
    pod.containers.get_mut(&id.name)?.live.as_mut().filter(|l| l.attempt == id.attempt)
}

fn running<'a>(pod: &'a mut ObservedPod, name: &str, attempt: u32) -> Option<&'a mut ObservedContainer> {
    let container = pod.containers.get_mut(name)?;
    let live = container.live.as_ref()?;
    (live.attempt == attempt && live.is_running()).then_some(container)
}

/// A run of which nothing is left is the last one.
fn forget_run(pod: &mut ObservedPod, name: &str) {
    let Some(container) = pod.containers.get_mut(name) else { return };
    let ended = match container.live.take().map(|live| live.state) {
        Some(LiveState::Exited { started_at, exit }) => exit.to_terminated(started_at),
        Some(LiveState::Created | LiveState::Running { .. }) | None => return,
    };
    pod.record.containers.entry(name.to_owned()).or_default().last = Some(ended);
}
