//! The loop that makes the node what it should be. It alone owns what is observed.
//!
//! In: facts from actions and probes, exits from the runtime, desired worlds. Out: actions to the executor, statuses,
//! events, what the network should be. Level-triggered: whatever woke it, it plans from the whole.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use gannet_agent_core::{
    Action, ContainerId, DesiredPod, DesiredWorld, Exit, Fact, HookKind, Observed, PodFact, due_probes,
    observed_statuses, plan, wake_at,
};
use gannet_agent_runtime::RuntimeEvent;
use gannet_protocols_model::{HookAction, ImageReference, Network, NodeEvent, PodUid, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::executor::{Executor, HookRun, PodWork};
use crate::logs::Statuses;
use crate::network::{Wish, local_pods};
use crate::persist::Persist;
use crate::rollback::Rollback;
use crate::watchdog::Heartbeat;

/// Even if nothing happens: what was missed is noticed.
const PERIOD: Duration = Duration::from_secs(60);

/// Notes of one turn that lead to further ones, as from a deadline to the stop of the pod. More wait for the next turn.
const MAX_PLANS: usize = 4;

/// What others want of the loop.
#[derive(Debug)]
pub(crate) enum Order {
    /// Work towards this from now on.
    Desired(Arc<DesiredWorld>, Option<Arc<Network>>),
    /// Stop and remove every pod, and tell when none is left.
    StopAll(oneshot::Sender<()>),
}

/// What comes in.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) facts: mpsc::Receiver<Fact>,
    pub(crate) exits: mpsc::Receiver<RuntimeEvent>,
    pub(crate) orders: mpsc::Receiver<Order>,
}

/// What goes out.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) statuses: watch::Sender<Statuses>,
    pub(crate) events: mpsc::Sender<NodeEvent>,
    pub(crate) wish: watch::Sender<Arc<Wish>>,
    /// True once every pod was tried: then the agent may look for its hub.
    pub(crate) settled: watch::Sender<bool>,
    /// What is worked towards.
    pub(crate) world: watch::Sender<Arc<DesiredWorld>>,
    /// Touched at each turn: a loop that hangs is noticed.
    pub(crate) heartbeat: Heartbeat,
}

#[derive(Debug)]
pub(crate) struct Reconciler {
    clock: Clock,
    executor: Executor,
    /// What to work towards: what the document names, but for what was rolled back.
    desired: Arc<DesiredWorld>,
    rollback: Rollback,
    document: Option<Arc<Network>>,
    observed: Observed,
    persist: Persist,
    out: Outputs,
    /// Exits that came before the fact of the start did.
    early: BTreeMap<(PodUid, ContainerId), Exit>,
    stopping: Option<oneshot::Sender<()>>,
}

impl Reconciler {
    pub(crate) fn new(
        clock: Clock,
        executor: Executor,
        observed: Observed,
        persist: Persist,
        rollback: Rollback,
        out: Outputs,
    ) -> Self {
        Self {
            clock,
            executor,
            desired: Arc::default(),
            rollback,
            document: None,
            observed,
            persist,
            out,
            early: BTreeMap::new(),
            stopping: None,
        }
    }

    /// Before the loop: what the ledger says.
    pub(crate) fn set_desired(&mut self, desired: Arc<DesiredWorld>, document: Option<Arc<Network>>) {
        self.rollback.name(desired);
        self.document = document;
        self.settle_desired();
    }

    /// What a pod should be.
    pub(crate) fn wanted(&self, pod: &PodUid) -> Option<Arc<DesiredPod>> {
        self.desired.pods.get(pod).cloned()
    }

    /// Works out anew what to work towards.
    fn settle_desired(&mut self) {
        let effective = self.rollback.effective(&self.observed);
        if effective != self.desired {
            self.observed.admit(&effective, self.clock.now());
            self.out.world.send_replace(Arc::clone(&effective));
            self.desired = effective;
        }
    }

    /// Whether the node has a pod, or should.
    pub(crate) fn knows(&self, pod: &PodUid) -> bool {
        self.observed.pods.contains_key(pod)
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self, mut inputs: Inputs, stop: CancellationToken) {
        loop {
            let wake = self.turn();
            if self.rollback.is_due() {
                let events = self.rollback.give_up(self.clock.now()).await;
                self.tell(events);
                continue;
            }
            let at = self.clock.instant_of(wake.unwrap_or_else(|| self.clock.now().plus(PERIOD)));
            let longest = PERIOD.min(self.out.heartbeat.beat());
            let at = at.min(tokio::time::Instant::now() + longest);
            tokio::select! {
                Some(fact) = inputs.facts.recv() => self.take(fact),
                Some(event) = inputs.exits.recv() => self.exit(event),
                Some(order) = inputs.orders.recv() => self.order(order).await,
                () = tokio::time::sleep_until(at) => {}
                () = stop.cancelled() => return,
            }
            // What came together is planned for together.
            while let Ok(fact) = inputs.facts.try_recv() {
                self.take(fact);
            }
            while let Ok(event) = inputs.exits.try_recv() {
                self.exit(event);
            }
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Desired(..) if self.stopping.is_some() => {}
            Order::Desired(desired, document) => {
                info!(generation = %desired.generation, pods = desired.pods.len(), "work towards desired document");
                self.look_for_images(&desired).await;
                self.set_desired(desired, document);
            }
            Order::StopAll(done) => {
                info!(pods = self.observed.pods.len(), "stop all pods");
                self.persist.freeze();
                self.rollback.freeze();
                self.rollback.name(Arc::default());
                self.stopping = Some(done);
            }
        }
    }

    /// Notes images that are here under names that were not asked for until now.
    pub(crate) async fn look_for_images(&mut self, desired: &DesiredWorld) {
        let manifests = desired.pods.values().filter_map(|p| p.manifest.as_ref());
        let known = &self.observed.images.local;
        let names: Vec<ImageReference> = manifests
            .flat_map(|m| m.all_containers())
            .map(|c| c.image.clone())
            .filter(|name| !known.contains_key(name))
            .collect();
        if names.is_empty() {
            return;
        }
        let store = self.executor.tools().images.clone();
        let look = move || -> Vec<_> {
            names.into_iter().filter_map(|n| store.get(&n).map(|i| (n, i.digest))).collect()
        };
        if let Ok(found) = tokio::task::spawn_blocking(look).await {
            let mut local = self.observed.images.local.clone();
            local.extend(found);
            self.take(Fact::ImagesHere { local });
        }
    }

    fn exit(&mut self, event: RuntimeEvent) {
        match event {
            RuntimeEvent::Exited { pod, container, exit } => {
                let exit = core_exit(&exit);
                info!(pod.uid = %pod, container, code = exit.code, oom = exit.oom_killed, "container exited");
                match container.parse() {
                    Ok(id) => {
                        let wanted = self.desired.pods.get(&pod).cloned();
                        self.executor.exited(pod, id, exit, wanted);
                    }
                    Err(error) => warn!(pod.uid = %pod, %error, "exit of a container that is not ours"),
                }
            }
            RuntimeEvent::ShimLost { pod } => {
                warn!(pod.uid = %pod, "shim lost, another one takes the containers over")
            }
        }
    }

    pub(crate) fn take(&mut self, fact: Fact) {
        let now = self.clock.now();
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
        self.tell(events);
        if let Some(fact) = then {
            self.take(fact);
        }
    }

    fn tell(&self, events: Vec<NodeEvent>) {
        for event in events {
            // Where nobody takes events (no hub for long), the newest are left out: statuses tell what matters.
            let _ = self.out.events.try_send(event);
        }
    }

    fn pull(&mut self, image: ImageReference, ask: bool) {
        self.take(Fact::PullBegan { image: image.clone() });
        self.executor.pull(image, ask);
    }

    /// Plans and starts what is to be done. Returns when to look again.
    fn turn(&mut self) -> Option<Timestamp> {
        self.settle_desired();
        for _ in 0..MAX_PLANS {
            if !self.act() {
                break;
            }
        }
        let now = self.clock.now();
        let next_probe = self.probe(now);
        let statuses = self.publish(now);
        self.persist.look(&self.observed);
        let (pulls, next_look) = self.rollback.look(&self.desired, &self.observed, &statuses, now);
        for pull in pulls {
            if let Action::PullImage { image, ask } = pull {
                self.pull(image, ask);
            }
        }
        if let Some(done) = self.stopping.take_if(|_| self.observed.pods.is_empty()) {
            let _ = done.send(());
        }
        [wake_at(&self.desired, &self.observed, now), next_probe, next_look].into_iter().flatten().min()
    }

    /// Plans once and starts what is to be done. True where a part of it was a mere note, so that there may be more.
    fn act(&mut self) -> bool {
        // Not that of the plan before: what was noted meanwhile would lie in the future.
        let now = self.clock.now();
        let mut noted = false;
        let mut work: BTreeMap<PodUid, Vec<Action>> = BTreeMap::new();
        for action in plan(&self.desired, &self.observed, now) {
            match action {
                Action::PullImage { image, ask } => self.pull(image, ask),
                Action::EndPod { pod, end } => {
                    info!(pod.uid = %pod, reason = end.reason, "pod is ended");
                    self.take(Fact::Pod(pod, PodFact::Ended(end)));
                    noted = true;
                }
                Action::RunPostStart { pod, id, hook } => {
                    self.take(Fact::Pod(pod.clone(), PodFact::PostStartBegan { id: id.clone() }));
                    self.hook(pod, id, HookKind::PostStart, hook, None);
                }
                Action::BeginStop { pod, id, hook, deadline, why } => {
                    info!(pod.uid = %pod, container = %id, why, "container is to end");
                    let began = PodFact::StopBegan { id: id.clone(), hook: hook.is_some(), deadline, why };
                    self.take(Fact::Pod(pod.clone(), began));
                    if let Some(hook) = hook {
                        self.hook(pod, id, HookKind::PreStop, hook, Some(deadline.since(now)));
                    }
                    noted = true;
                }
                action => {
                    if let Some(pod) = action.pod() {
                        work.entry(pod.clone()).or_default().push(action);
                    }
                }
            }
        }
        for (uid, actions) in work {
            let ip = self.address(&uid);
            let wanted = self.desired.pods.get(&uid).cloned();
            self.take(Fact::Pod(uid.clone(), PodFact::Busy));
            self.executor.work(PodWork { uid, wanted, ip }, actions);
        }
        noted
    }

    fn hook(
        &mut self,
        pod: PodUid,
        id: ContainerId,
        kind: HookKind,
        action: HookAction,
        time: Option<Duration>,
    ) {
        let ip = self.address(&pod);
        self.executor.hook(HookRun { pod, id, kind, action, time, ip });
    }

    fn address(&self, pod: &PodUid) -> Option<Ipv4Addr> {
        self.observed.pods.get(pod).and_then(|p| p.sandbox.as_ref()).and_then(|s| s.ip)
    }

    fn probe(&mut self, now: Timestamp) -> Option<Timestamp> {
        let (due, next) = due_probes(&self.desired, &self.observed, now);
        for run in due {
            let live = self.observed.pods.get(&run.pod).and_then(|p| p.live(&run.container));
            let Some(definition) = live.map(|l| l.definition.clone()) else { continue };
            let id = ContainerId { name: run.container.clone(), attempt: run.attempt, definition };
            let (container, attempt, kind) = (run.container.clone(), run.attempt, run.kind);
            self.take(Fact::Pod(run.pod.clone(), PodFact::ProbeBegan { container, attempt, kind }));
            self.executor.probe(run, id.to_string());
        }
        next
    }

    fn publish(&mut self, now: Timestamp) -> Statuses {
        let statuses: Statuses = Arc::new(observed_statuses(&self.desired, &self.observed, now));
        let wish = Wish {
            document: self.document.clone(),
            local: local_pods(&self.desired, &self.observed, &statuses, self.executor.node_ip()),
        };
        self.out.wish.send_if_modified(|last| {
            let new = **last != wish;
            if new {
                *last = Arc::new(wish);
            }
            new
        });
        self.out.statuses.send_if_modified(|last| {
            let new = *last != statuses;
            if new {
                *last = Arc::clone(&statuses);
            }
            new
        });
        let waits = !self.observed.images.pulling.is_empty();
        let settled = !waits && self.observed.pods.values().all(|pod| !pod.busy);
        self.out.settled.send_if_modified(|last| settled && !std::mem::replace(last, true));
        statuses
    }
}

/// How a container ended, in the core's words.
pub(crate) fn core_exit(exit: &gannet_agent_runtime::Exit) -> Exit {
    Exit {
        code: exit.code,
        signal: exit.signal,
        oom_killed: exit.oom_killed,
        at: exit.at,
        known: exit.known,
        message: exit.message.clone().unwrap_or_default(),
    }
}
