//! The agent's process: the session and the core, wired as the agent's binary wires them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gannet_agent_core::{
    Action, ContainerId, DesiredPod, DesiredWorld, Exit, Fact, HookKind, Observed, PodFact,
    observed_statuses, plan, wake_at,
};
use gannet_protocols_link::AgentSession;
use gannet_protocols_model::{ImageReference, NodeEvent, PodStatus, PodUid, Timestamp};

use crate::ledger::Records;

/// What the executor has to do for one pod.
#[derive(Debug)]
pub struct Work {
    /// What the pod should be, when the work was given out.
    pub wanted: Option<Arc<DesiredPod>>,
    /// What is still to be done.
    pub actions: VecDeque<Action>,
}

/// What a turn gives out.
#[derive(Debug, Default)]
pub struct GivenOut {
    /// Images to pull.
    pub pulls: Vec<ImageReference>,
    /// Pods whose work begins.
    pub pods: Vec<PodUid>,
}

/// The process.
#[derive(Debug)]
pub struct Agent {
    /// Which of the node's agents.
    pub number: u64,
    /// Its conversation with the hub.
    pub session: AgentSession,
    /// What should be.
    pub desired: DesiredWorld,
    /// What is, as far as it knows.
    pub observed: Observed,
    /// What the executor does.
    pub work: BTreeMap<PodUid, Work>,
    /// What it tells of its pods.
    pub statuses: BTreeMap<PodUid, PodStatus>,
    /// What it has not told yet.
    pub events: Vec<NodeEvent>,
    /// Whether it looks for its hub already.
    pub joined: bool,
    /// When it wants to look again.
    pub wake: Option<Timestamp>,
    /// Exits that came before the fact of the start did.
    early: BTreeMap<(PodUid, ContainerId), Exit>,
}

impl Agent {
    /// An agent that has read its ledger and found what runs.
    pub fn start(
        number: u64,
        session: AgentSession,
        records: Records,
        images: BTreeMap<ImageReference, gannet_protocols_model::Digest>,
        desired: DesiredWorld,
        adopted: Vec<(PodUid, PodFact)>,
        now: Timestamp,
    ) -> Self {
        let mut agent = Self {
            number,
            session,
            desired: DesiredWorld::default(),
            observed: Observed::from_records(records),
            work: BTreeMap::new(),
            statuses: BTreeMap::new(),
            events: Vec::new(),
            joined: false,
            wake: None,
            early: BTreeMap::new(),
        };
        agent.take(Fact::ImagesHere { local: images }, now);
        agent.work_towards(desired, now);
        for (uid, fact) in adopted {
            agent.take(Fact::Pod(uid, fact), now);
        }
        agent.take(Fact::AdoptionEnded, now);
        agent
    }

    /// Another document counts.
    pub fn work_towards(&mut self, desired: DesiredWorld, now: Timestamp) {
        self.observed.admit(&desired, now);
        self.desired = desired;
    }

    /// Takes in a fact.
    pub fn take(&mut self, fact: Fact, now: Timestamp) {
        let mut then = None;
        match &fact {
            Fact::Pod(uid, PodFact::Exited { id, exit }) => {
                let pod = self.observed.pods.get(uid);
                let present = pod.and_then(|p| p.live(&id.name)).is_some_and(|l| l.attempt == id.attempt);
                if !present && pod.is_some_and(|p| p.busy) {
                    self.early.insert((uid.clone(), id.clone()), exit.clone());
                    return;
                }
            }
            Fact::Pod(uid, PodFact::Started { id, .. }) => {
                let exit = self.early.remove(&(uid.clone(), id.clone()));
                then = exit.map(|exit| Fact::Pod(uid.clone(), PodFact::Exited { id: id.clone(), exit }));
            }
            Fact::Pod(uid, PodFact::Idle) => self.early.retain(|(pod, _), _| pod != uid),
            _ => {}
        }
        let events = self.observed.apply(fact, &self.desired, now);
        self.events.extend(events);
        if let Some(fact) = then {
            self.take(fact, now);
        }
    }

    /// What it would do now.
    pub fn plan(&self, now: Timestamp) -> Vec<Action> {
        plan(&self.desired, &self.observed, now)
    }

    /// Plans, and gives out what is to be done.
    pub fn turn(&mut self, now: Timestamp) -> GivenOut {
        let mut given = GivenOut::default();
        let mut noted = false;
        let mut work: BTreeMap<PodUid, VecDeque<Action>> = BTreeMap::new();
        for action in self.plan(now) {
            match (action.pod().cloned(), action) {
                (_, Action::PullImage { image, .. }) => {
                    self.take(Fact::PullBegan { image: image.clone() }, now);
                    given.pulls.push(image);
                }
                (Some(pod), Action::EndPod { end, .. }) => {
                    noted = true;
                    self.take(Fact::Pod(pod, PodFact::Ended(end)), now);
                }
                // Hooks take no time here.
                (Some(pod), Action::RunPostStart { id, .. }) => {
                    self.take(Fact::Pod(pod.clone(), PodFact::PostStartBegan { id: id.clone() }), now);
                    let kind = HookKind::PostStart;
                    self.take(Fact::Pod(pod, PodFact::HookEnded { id, kind, result: Ok(()) }), now);
                }
                (Some(pod), Action::BeginStop { id, hook, deadline, why, .. }) => {
                    noted = true;
                    let hook = hook.is_some();
                    let began = PodFact::StopBegan { id: id.clone(), hook, deadline, why };
                    self.take(Fact::Pod(pod.clone(), began), now);
                    let kind = HookKind::PreStop;
                    self.take(Fact::Pod(pod, PodFact::HookEnded { id, kind, result: Ok(()) }), now);
                }
                (Some(pod), action) => work.entry(pod).or_default().push_back(action),
                (None, _) => {}
            }
        }
        for (uid, actions) in work {
            let wanted = self.desired.pods.get(&uid).cloned();
            self.take(Fact::Pod(uid.clone(), PodFact::Busy), now);
            self.work.insert(uid.clone(), Work { wanted, actions });
            given.pods.push(uid);
        }
        self.statuses = observed_statuses(&self.desired, &self.observed, now);
        // What was merely noted leads to more.
        self.wake = if noted { Some(now) } else { wake_at(&self.desired, &self.observed, now) };
        given
    }

    /// What it remembers.
    pub fn records(&self) -> Records {
        self.observed.pods.iter().map(|(uid, pod)| (uid.clone(), pod.record.clone())).collect()
    }

    /// When it has to be looked at, whatever else happens.
    pub fn next_wake(&self) -> Option<u64> {
        [self.wake, self.session.next_wake()].into_iter().flatten().min().map(Timestamp::millis)
    }
}
