//! How facts change one pod.

use gannet_protocols_model::{Container, NodeEvent, PodUid, Terminated, Timestamp};

use crate::container_id::ContainerId;
use crate::desired::DesiredPod;
use crate::event::Teller;
use crate::fact::{AdoptedContainer, PodFact, PodStep, StartFailure, StartStep};
use crate::observed::{Exit, Failure, Live, LiveState, ObservedContainer, ObservedPod, Sandbox, Stopping};
use crate::probes::{ProbeKind, Probes};
use crate::record::ResolvedImage;
use crate::restart::{Backoff, restarts};

/// The exit code of a container whose end nobody saw, as kubelet has it.
const UNKNOWN_CODE: i32 = 137;
/// The exit code of a container whose command could not be run, as container engines have it.
const START_ERROR_CODE: i32 = 128;

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
            PodFact::Prepared { manifest, ip } => {
                pod.sandbox = Some(Sandbox { ip });
                pod.failure = None;
                pod.record.manifest = manifest;
            }
            PodFact::VolumesUpdated { manifest } => {
                pod.failure = None;
                pod.record.manifest = manifest;
            }
            PodFact::Failed { step, message } => return self.failed(pod, step, message),
            PodFact::Removed => {}
            PodFact::Started { id, image, digest, stop_signal, at } => {
                self.started(pod, &id, ResolvedImage { name: image, digest }, stop_signal, at);
                let teller = self.teller();
                return vec![
                    teller.normal(Some(&id.name), "Created", format!("Created container: {}", id.name)),
                    teller.normal(Some(&id.name), "Started", format!("Started container {}", id.name)),
                ];
            }
            PodFact::NotStarted { id, failure } => return self.not_started(pod, &id, failure),
            PodFact::Exited { id, exit } => return self.exited(pod, &id, exit),
            PodFact::StopSent { id, deadline, why } => {
                if let Some(live) = present(pod, &id) {
                    let first = live.stopping.is_none();
                    let since = live.stopping.map_or(self.now, |s| s.since);
                    let killed = live.stopping.and_then(|s| s.killed);
                    live.stopping = Some(Stopping { since, deadline, killed });
                    if first {
                        return vec![self.teller().normal(Some(&id.name), "Killing", why)];
                    }
                }
            }
            PodFact::KillSent { id } => {
                if let Some(live) = present(pod, &id) {
                    let stopping = Stopping { since: self.now, deadline: self.now, killed: None };
                    live.stopping =
                        Some(Stopping { killed: Some(self.now), ..live.stopping.unwrap_or(stopping) });
                }
            }
            PodFact::ContainerRemoved { id } => {
                if let Some(terminated) = present(pod, &id).and_then(|live| match &live.state {
                    LiveState::Exited { started_at, exit } => Some(exit.to_terminated(*started_at)),
                    LiveState::Created | LiveState::Running { .. } => None,
                }) {
                    pod.record.containers.entry(id.name.clone()).or_default().last = Some(terminated);
                }
                if let Some(container) = pod.containers.get_mut(&id.name) {
                    container.live = None;
                }
            }
            PodFact::ProbeBegan { container, attempt, kind } => {
                if let Some(state) = running(pod, &container, attempt) {
                    state.probes.begin(kind, self.now);
                }
            }
            PodFact::ProbeEnded { container, attempt, kind, result } => {
                return self.probed(pod, &container, attempt, kind, result);
            }
        }
        Vec::new()
    }

    /// What the records say ran, and what nobody found, has ended in some way that nobody saw.
    pub(crate) fn lost_where_not_here(&self, pod: &mut ObservedPod) {
        for (name, record) in &mut pod.record.containers {
            let here = pod.containers.get(name).is_some_and(|c| c.live.is_some());
            if here || !record.running {
                continue;
            }
            let exit =
                Exit { code: UNKNOWN_CODE, signal: None, oom_killed: false, at: self.now, known: false };
            record.running = false;
            record.ready = false;
            record.started = false;
            // Lost with the machine's power, not by its own fault: it starts again at once.
            record.backoff = None;
            record.over = self.is_over(name, exit.code);
            record.last = Some(exit.to_terminated(None));
        }
    }

    /// What ended while nobody wanted the pod ended by the rules of the manifest all the same.
    pub(crate) fn over_where_ended(&self, pod: &mut ObservedPod) {
        for (name, container) in &pod.containers {
            let Some(Live { state: LiveState::Exited { started_at, exit }, .. }) = &container.live else {
                continue;
            };
            let record = pod.record.containers.entry(name.clone()).or_default();
            if !record.over && self.is_over(name, exit.code) {
                record.over = true;
                record.last = Some(exit.to_terminated(*started_at));
            }
        }
    }

    /// Takes up a run that an earlier agent had begun.
    fn adopt(&self, pod: &mut ObservedPod, mut found: AdoptedContainer) {
        let name = found.id.name.clone();
        // Of two runs of one container the later one is the present one.
        if pod.live(&name).is_some_and(|l| l.attempt > found.id.attempt) {
            return;
        }
        let record = pod.record.containers.entry(name.clone()).or_default();
        // The runtime knows the start only roughly; what was told once stays true.
        let told = record.started_at.filter(|_| record.attempts == found.id.attempt.saturating_add(1));
        match &mut found.state {
            LiveState::Running { started_at } => *started_at = told.unwrap_or(*started_at),
            LiveState::Exited { started_at, .. } => *started_at = told.or(*started_at),
            LiveState::Created => {}
        }
        record.attempts = record.attempts.max(found.id.attempt.saturating_add(1));
        record.running = matches!(found.state, LiveState::Running { .. });
        if let LiveState::Exited { started_at, exit } = &found.state {
            record.over = self.is_over(&name, exit.code);
            if record.over {
                record.last = Some(exit.to_terminated(*started_at));
            }
        }
        let probes = Probes::adopted(record.ready, record.started);
        let (attempt, definition) = (found.id.attempt, found.id.definition);
        let live = Live { attempt, definition, state: found.state, stopping: None };
        pod.containers.insert(name, ObservedContainer { live: Some(live), failure: None, probes });
    }

    fn container(&self, name: &str) -> Option<&Container> {
        self.wanted.and_then(|w| w.container(name))
    }

    /// Whether a container that ended with this code has no further run.
    fn is_over(&self, name: &str, code: i32) -> bool {
        let Some(manifest) = self.wanted.and_then(|w| w.manifest.as_ref()) else { return false };
        if manifest.init_containers.iter().any(|c| c.name == name) && code == 0 {
            return true;
        }
        !restarts(manifest.restart_policy, code)
    }

    fn failed(&self, pod: &mut ObservedPod, step: PodStep, message: String) -> Vec<NodeEvent> {
        let (reason, text) = match step {
            PodStep::Volumes => ("FailedMount", message.clone()),
            PodStep::Sandbox => {
                ("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {message}"))
            }
            PodStep::Removal => ("FailedKillPod", format!("error killing pod: {message}")),
        };
        let failure = Failure::after(pod.failure.as_ref(), reason, message, self.now);
        let told = failure.times == 1;
        pod.failure = Some(failure);
        if told { vec![self.teller().warning(None, reason, text)] } else { Vec::new() }
    }

    fn started(
        &self,
        pod: &mut ObservedPod,
        id: &ContainerId,
        image: ResolvedImage,
        stop_signal: i32,
        at: Timestamp,
    ) {
        let crashed = pod.ended(&id.name).filter(|e| e.reason != "ContainerStatusUnknown");
        let record = pod.record.containers.entry(id.name.clone()).or_default();
        let same_image = record.image.as_ref().is_none_or(|i| i.name == image.name);
        record.backoff = match &crashed {
            Some(last) if same_image => Some(Backoff::after(record.backoff, last.finished_at, self.now)),
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
        let live = Live {
            attempt: id.attempt,
            definition: id.definition.clone(),
            state: LiveState::Running { started_at: at },
            stopping: None,
        };
        let container = ObservedContainer { live: Some(live), failure: None, probes: Probes::default() };
        pod.containers.insert(id.name.clone(), container);
        self.note_probes(pod, &id.name);
    }

    fn not_started(&self, pod: &mut ObservedPod, id: &ContainerId, failure: StartFailure) -> Vec<NodeEvent> {
        let reason = match failure.step {
            StartStep::Config => "CreateContainerConfigError",
            StartStep::Create => "CreateContainerError",
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
        let over = self.is_over(&id.name, START_ERROR_CODE);
        let record = pod.record.containers.entry(id.name.clone()).or_default();
        if let Some(last) = crashed {
            record.backoff = Some(Backoff::after(record.backoff, last.finished_at, self.now));
        }
        record.attempts = id.attempt.saturating_add(1);
        record.running = false;
        record.over = over;
        record.last = Some(Terminated {
            exit_code: START_ERROR_CODE,
            signal: None,
            reason: "StartError".to_owned(),
            message,
            started_at: None,
            finished_at: self.now,
        });
        pod.containers.insert(id.name.clone(), ObservedContainer::default());
    }

    fn exited(&self, pod: &mut ObservedPod, id: &ContainerId, exit: Exit) -> Vec<NodeEvent> {
        let Some(live) = present(pod, id) else { return Vec::new() };
        let started_at = match live.state {
            LiveState::Running { started_at } => Some(started_at),
            LiveState::Created => None,
            LiveState::Exited { .. } => return Vec::new(),
        };
        live.state = LiveState::Exited { started_at, exit };
        live.stopping = None;
        let over = self.is_over(&id.name, exit.code);
        let record = pod.record.containers.entry(id.name.clone()).or_default();
        record.running = false;
        record.ready = false;
        record.started = false;
        record.over = over;
        if over {
            record.last = Some(exit.to_terminated(started_at));
        } else if record.backoff.is_some_and(|b| b.until(exit.at, self.now).is_some()) {
            let (name, pod) = (&id.name, &pod.record);
            let text = format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                pod.name, pod.namespace, self.uid
            );
            return vec![self.teller().warning(Some(name), "BackOff", text)];
        }
        Vec::new()
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
        let (ready, started) = (state.probes.ready(container), state.probes.started(container));
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
