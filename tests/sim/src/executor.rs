//! A node's executor: carries out the core's actions on the machine, each taking its time; some fail.

use gannet_agent_core::{Action, DesiredPod, Fact, PodFact, PodStep, StartFailure, StartStep};
use gannet_protocols_model::PodUid;

use crate::event::{Event, Happening};
use crate::node::Node;
use crate::shared::Shared;

/// SIGTERM's exit code.
const TERMINATED: i32 = 143;
/// SIGKILL's.
const KILLED: i32 = 137;

impl Node {
    /// Something happens on the node.
    pub fn happen(&mut self, what: Happening, shared: &mut Shared) {
        match what {
            Happening::Step(agent, pod) => self.step(agent, &pod, shared),
            Happening::Told { agent, fact, next } => self.told(agent, *fact, next, shared),
            Happening::Ends { boot, pod, id, code } => {
                // Once all is well no container ends by itself.
                let asked = code == TERMINATED || code == KILLED;
                if boot != self.machine.boot || !(asked || shared.faults) {
                    return;
                }
                let Some(exit) = self.machine.end(&pod, &id, code, shared.time()) else { return };
                shared.say(format_args!("{} {pod}/{id} ends with {code}", self.name));
                if let Some(agent) = &self.agent {
                    let fact = Fact::Pod(pod, PodFact::Exited { id, exit });
                    let told = Happening::Told { agent: agent.number, fact: Box::new(fact), next: None };
                    let at = shared.now + self.random.between(0, 50);
                    shared.queue.push(at, Event::Node(self.index, told));
                }
            }
        }
    }

    /// The next action of a pod has its effect; the agent learns of it a little later.
    fn step(&mut self, number: u64, pod: &PodUid, shared: &mut Shared) {
        let Some(agent) = self.agent.as_mut().filter(|a| a.number == number) else { return };
        let Some(work) = agent.work.get_mut(pod) else { return };
        let Some(action) = work.actions.pop_front() else { return };
        let (wanted, more) = (work.wanted.clone(), !work.actions.is_empty());
        let (fact, go_on) = self.effect(&action, wanted.as_deref(), shared);
        let told = Happening::Told {
            agent: number,
            fact: Box::new(Fact::Pod(pod.clone(), fact)),
            next: Some((pod.clone(), go_on && more)),
        };
        shared.queue.push(shared.now + self.random.between(0, 40), Event::Node(self.index, told));
    }

    fn told(&mut self, number: u64, fact: Fact, next: Option<(PodUid, bool)>, shared: &mut Shared) {
        let now = shared.time();
        let Some(agent) = self.agent.as_mut().filter(|a| a.number == number) else { return };
        if let Fact::PullEnded { image, result: Ok(digest), .. } = &fact {
            self.machine.images.insert(image.clone(), *digest);
        }
        agent.take(fact, now);
        match next {
            Some((pod, true)) => {
                let at = shared.now + self.random.between(5, 2_000);
                shared.queue.push(at, Event::Node(self.index, Happening::Step(number, pod)));
            }
            Some((pod, false)) => {
                agent.work.remove(&pod);
                agent.take(Fact::Pod(pod, PodFact::Idle), now);
            }
            None => {}
        }
        self.after(shared);
    }

    /// Carries out one action. Returns what came of it, and whether the pod's other actions may follow.
    fn effect(
        &mut self,
        action: &Action,
        wanted: Option<&DesiredPod>,
        shared: &mut Shared,
    ) -> (PodFact, bool) {
        shared.effects += 1;
        shared.say(format_args!("{} does {}", self.name, short(action)));
        let broken = shared.faults && self.random.chance(shared.params.failure);
        let failed = |step, message: &str| (PodFact::Failed { step, message: message.to_owned() }, false);
        let now = shared.time();
        match action {
            Action::PullImage { .. } => (PodFact::Idle, true),
            Action::PreparePod { .. } | Action::UpdateVolumes { .. } if broken => {
                failed(PodStep::Sandbox, "broken")
            }
            Action::PreparePod { pod } => match wanted {
                Some(wanted) => {
                    let ip = Some(self.machine.prepare(pod));
                    (
                        PodFact::Prepared {
                            manifest: wanted.entry.manifest,
                            fields: wanted.fields_digest(),
                            ip,
                        },
                        true,
                    )
                }
                None => failed(PodStep::Sandbox, "pod is not desired any more"),
            },
            Action::UpdateVolumes { .. } => match wanted {
                Some(wanted) => {
                    let (manifest, fields) = (wanted.entry.manifest, wanted.fields_digest());
                    (PodFact::VolumesUpdated { manifest, fields }, true)
                }
                None => failed(PodStep::Volumes, "pod is not desired any more"),
            },
            Action::StartContainer { pod, id, image } => {
                let container = wanted.and_then(|w| w.container(&id.name));
                let started = match container {
                    _ if broken => Err("broken".to_owned()),
                    None => Err("container is not in the manifest".to_owned()),
                    Some(_) => self.machine.start(pod, id, *image, Some(now)),
                };
                let (Ok(()), Some(container)) = (&started, container) else {
                    let message = started.err().unwrap_or_default();
                    let failure = StartFailure { step: StartStep::Create, message };
                    return (PodFact::NotStarted { id: id.clone(), failure }, true);
                };
                if shared.faults && self.random.chance(shared.params.crash) {
                    let life = self.random.between(0, 30_000);
                    self.end_later(pod, id, 1, life, shared);
                }
                let image_name = container.image.clone();
                (
                    PodFact::Started {
                        id: id.clone(),
                        image: image_name,
                        digest: *image,
                        stop_signal: 15,
                        resources: container.resources,
                        at: now,
                    },
                    true,
                )
            }
            Action::ResizeContainer { id, .. } if broken => {
                (PodFact::NotResized { id: id.clone(), message: "broken".to_owned(), never: false }, true)
            }
            Action::ResizeContainer { id, resources, .. } => {
                (PodFact::Resized { id: id.clone(), resources: *resources }, true)
            }
            // The agent's loop takes these itself.
            Action::RunPostStart { .. } | Action::BeginStop { .. } | Action::EndPod { .. } => {
                (PodFact::Busy, true)
            }
            Action::ClearPod { .. } if broken => failed(PodStep::Removal, "broken"),
            Action::ClearPod { pod } => {
                self.machine.pods.remove(pod);
                (PodFact::Cleared, true)
            }
            Action::StopContainer { pod, id, deadline, why, .. } => {
                if !(shared.faults && self.random.chance(shared.params.deaf)) {
                    let life = self.random.between(1, 4_000);
                    self.end_later(pod, id, TERMINATED, life, shared);
                }
                (PodFact::StopSent { id: id.clone(), deadline: *deadline, why: why.clone() }, true)
            }
            Action::KillContainer { pod, id } => {
                self.end_later(pod, id, KILLED, 1, shared);
                (PodFact::KillSent { id: id.clone() }, true)
            }
            Action::RemoveContainer { pod, id } => match self.machine.remove(pod, id) {
                Ok(()) => (PodFact::ContainerRemoved { id: id.clone() }, true),
                Err(message) => failed(PodStep::Removal, &message),
            },
            Action::RemovePod { .. } if broken => failed(PodStep::Removal, "broken"),
            Action::RemovePod { pod } => {
                self.machine.pods.remove(pod);
                (PodFact::Removed, true)
            }
        }
    }

    /// An action that was under way when the agent died. What was asked of a shim may be done all the same.
    pub(crate) fn abandon(
        &mut self,
        pod: &PodUid,
        action: &Action,
        wanted: Option<&DesiredPod>,
        shared: &mut Shared,
    ) {
        match (self.random.between(0, 2), action) {
            (0, _) => {}
            (1, Action::StartContainer { id, image, .. }) => {
                shared.say(format_args!("{} {pod}/{id} is made and not started", self.name));
                let _ = self.machine.start(pod, id, *image, None);
            }
            _ => {
                self.effect(action, wanted, shared);
            }
        }
    }

    fn end_later(
        &self,
        pod: &PodUid,
        id: &gannet_agent_core::ContainerId,
        code: i32,
        millis: u64,
        shared: &mut Shared,
    ) {
        let ends = Happening::Ends { boot: self.machine.boot, pod: pod.clone(), id: id.clone(), code };
        shared.queue.push(shared.now + millis, Event::Node(self.index, ends));
    }
}

fn short(action: &Action) -> String {
    match action {
        Action::PullImage { image, .. } => format!("pull {image}"),
        Action::PreparePod { pod } => format!("prepare {pod}"),
        Action::UpdateVolumes { pod } => format!("update {pod}"),
        Action::StartContainer { pod, id, .. } => format!("start {pod}/{id}"),
        Action::StopContainer { pod, id, why, .. } => format!("stop {pod}/{id}: {why}"),
        Action::RunPostStart { pod, id, .. } => format!("run postStart of {pod}/{id}"),
        Action::ResizeContainer { pod, id, .. } => format!("resize {pod}/{id}"),
        Action::BeginStop { pod, id, why, .. } => format!("begin the stop of {pod}/{id}: {why}"),
        Action::EndPod { pod, end } => format!("end {pod}: {}", end.reason),
        Action::ClearPod { pod } => format!("clear {pod}"),
        Action::KillContainer { pod, id } => format!("kill {pod}/{id}"),
        Action::RemoveContainer { pod, id } => format!("remove {pod}/{id}"),
        Action::RemovePod { pod } => format!("remove {pod}"),
    }
}
