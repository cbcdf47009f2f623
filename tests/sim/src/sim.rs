//! A run: hub, nodes, network, operator and faults in virtual time. Everything follows from the parameters.

use std::collections::BTreeSet;

use gannet_agent_core::ContainerId;
use gannet_protocols_link::Message;
use gannet_protocols_model::{Generation, PodUid, SigningKey};
use gannet_protocols_wire::Topic;

use crate::event::Event;
use crate::hub::Hub;
use crate::invariant::{converged, single_run, steady};
use crate::network::Peer;
use crate::node::Node;
use crate::operator::{Operator, Written};
use crate::params::{Params, Scenario};
use crate::random::Random;
use crate::shared::{Shared, Violation};
use crate::store::Store;
use crate::trace::Keep;

/// After the faults: a document that was refused is sent again within an hour at the latest.
const PATIENCE_MILLIS: u64 = 3 * 3600 * 1000;
/// What was under way when the faults ended arrives within this time.
const LATE_MILLIS: u64 = 60_000;
/// How often to look whether all agree.
const LOOK_EVERY_MILLIS: u64 = 5_000;
/// Once all agree, nothing may happen for so long.
const QUIET_MILLIS: u64 = 400_000;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What did not hold.
    pub violation: Option<Violation>,
    /// Names all that happened.
    pub hash: u128,
    /// The lines of the trace that were kept.
    pub lines: Vec<String>,
    /// How many lines there were.
    pub count: u64,
    /// Changes of machines by executors.
    pub effects: u64,
    /// Virtual milliseconds.
    pub millis: u64,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Sim {
    shared: Shared,
    store: Store,
    hub: Option<Hub>,
    nodes: Vec<Node>,
    operator: Operator,
    random: Random,
}

/// Runs to the end, or to the first violation.
pub fn run(params: &Params, keep: Keep) -> Outcome {
    let mut sim = Sim::new(params.clone(), keep);
    sim.play();
    let shared = sim.shared;
    Outcome {
        violation: shared.violation,
        hash: shared.trace.hash(),
        count: shared.trace.count(),
        lines: shared.trace.into_lines(),
        effects: shared.effects,
        millis: shared.now,
    }
}

impl Sim {
    fn new(params: Params, keep: Keep) -> Self {
        let random = Random::new(params.seed, "faults");
        let operator = Operator::new(params.seed, params.deployments);
        let mut shared = Shared::new(params, keep);
        shared.trace.say(0, format_args!("{:?}", shared.params));
        let name = |n: usize| format!("n{}", n + 1).parse();
        let names = (0..shared.params.nodes).filter_map(|n| name(n).ok());
        let nodes = names.enumerate().map(|(n, name)| Node::new(n, name, &shared)).collect();
        Self { shared, store: Store::default(), hub: None, nodes, operator, random }
    }

    fn play(&mut self) {
        self.shared.net.heal();
        self.shared.queue.push(0, Event::HubStarts);
        for n in 0..self.nodes.len() {
            self.shared.queue.push(self.random.between(0, 3_000), Event::AgentStarts(n));
        }
        self.run_until(2_000);
        let written = self.operator.begin(&mut self.store, self.shared.time());
        self.written(written);
        let before = if self.shared.params.scenario == Scenario::Apart { self.settle() } else { None };
        self.storm();
        let after = self.settle();
        if let (Some(before), Some(after)) = (before, after) {
            self.shared.check("steady", steady::same(&before, &after));
        }
    }

    /// Things break for a while; then nothing does any more.
    fn storm(&mut self) {
        let until = self.shared.now + self.shared.params.fault_millis;
        self.shared.say(format_args!("things break from now on"));
        self.shared.faults = true;
        self.shared.net.harm();
        self.later(Event::Fault);
        if self.shared.params.scenario == Scenario::Storm {
            self.later(Event::Change);
        }
        if self.shared.params.forger {
            self.later(Event::Forge);
        }
        self.run_until(until);
        self.shared.say(format_args!("nothing breaks from now on"));
        self.shared.faults = false;
        self.shared.net.heal();
        if self.hub.is_none() {
            self.shared.queue.push(until, Event::HubStarts);
        }
        for node in self.nodes.iter().filter(|node| node.agent.is_none()) {
            self.shared.queue.push(until, Event::AgentStarts(node.index));
        }
    }

    /// Waits until all agree and nothing happens any more. Returns what runs then.
    fn settle(&mut self) -> Option<BTreeSet<(PodUid, ContainerId)>> {
        self.run_until(self.shared.now + LATE_MILLIS);
        let until = self.shared.now + PATIENCE_MILLIS;
        let mut quiet_since = None;
        while self.shared.violation.is_none() {
            self.run_until(self.shared.now + LOOK_EVERY_MILLIS);
            let all = converged::check(self.hub.as_ref(), &self.store, &self.nodes, &self.operator);
            let state = (self.store.revision(), self.shared.effects);
            match (all, quiet_since) {
                (Err(how), _) if self.shared.now > until => self.shared.check("converged", Err(how)),
                (Err(how), Some(_)) => {
                    let how = format!("all agreed, and then: {how}");
                    self.shared.check("converged", Err(how));
                }
                (Err(_), None) => {}
                (Ok(()), None) => {
                    self.shared.say(format_args!("all agree"));
                    quiet_since = Some((self.shared.now, state));
                }
                (Ok(()), Some((_, before))) if state != before => {
                    let how =
                        format!("all agreed, and still something was done: {before:?} became {state:?}");
                    self.shared.check("converged", Err(how));
                }
                (Ok(()), Some((since, _))) if self.shared.now >= since + QUIET_MILLIS => break,
                (Ok(()), Some(_)) => {}
            }
        }
        Some(steady::running(self.nodes.iter().map(|node| &node.machine)))
    }

    fn later(&mut self, event: Event) {
        let mean = match event {
            Event::Change => self.shared.params.change_every_millis,
            Event::Forge => 30_000,
            _ => self.shared.params.fault_every_millis,
        };
        let at = self.shared.now + self.random.between(1, 2 * mean);
        self.shared.queue.push(at, event);
    }

    fn run_until(&mut self, until: u64) {
        while self.shared.violation.is_none() {
            let queue = self.shared.queue.next_at();
            let nodes = self.nodes.iter().filter_map(Node::next_wake);
            let wake = nodes.chain(self.hub.as_ref().and_then(Hub::next_wake)).min();
            // Who wants to wake in the past wakes in a moment.
            let wake = wake.map(|at| at.max(self.shared.now + 1));
            let Some(next) = [queue, wake].into_iter().flatten().min().filter(|at| *at <= until) else {
                break;
            };
            self.shared.now = next.max(self.shared.now);
            if queue == Some(next) {
                if let Some((_, event)) = self.shared.queue.pop() {
                    self.happen(event);
                }
            } else {
                self.wake(next);
            }
            self.bury();
        }
        self.shared.now = until.max(self.shared.now);
    }

    fn wake(&mut self, at: u64) {
        for node in &mut self.nodes {
            if node.next_wake().is_some_and(|wake| wake <= at) {
                node.wake(&mut self.shared);
            }
        }
        if let Some(hub) = self.hub.as_mut().filter(|hub| hub.next_wake().is_some_and(|wake| wake <= at)) {
            hub.wake(&mut self.store, &mut self.shared);
        }
    }

    /// A hub that died in the middle of something.
    fn bury(&mut self) {
        if self.hub.as_ref().is_some_and(Hub::is_dead) {
            self.kill_hub();
        }
    }

    fn kill_hub(&mut self) {
        if self.hub.take().is_some() {
            self.shared.say(format_args!("hub is killed"));
            self.shared.net.leave(Peer::Hub, &mut self.shared.queue, self.shared.now);
            let at = self.shared.now + self.random.between(200, 60_000);
            self.shared.queue.push(at, Event::HubStarts);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wire(wire) => {
                let heard = self.shared.net.happen(wire, &mut self.shared.queue, self.shared.now);
                match heard {
                    Some((Peer::Hub, event)) => {
                        if let Some(hub) = &mut self.hub {
                            hub.on_link(event, &mut self.store, &mut self.shared);
                        }
                    }
                    Some((Peer::Node(n), event)) => self.nodes[n].on_link(event, &mut self.shared),
                    None => {}
                }
            }
            Event::HubStarts if self.hub.is_none() => {
                self.hub = Some(Hub::start(&mut self.store, &mut self.shared));
            }
            Event::HubStarts => {}
            Event::HubSees(kind, key) => {
                if let Some(hub) = &mut self.hub {
                    hub.look(kind, &key, &self.store, &mut self.shared);
                }
            }
            Event::HubTurn(epoch) => {
                if let Some(hub) = &mut self.hub {
                    hub.take_turn(epoch, &mut self.store, &mut self.shared);
                }
            }
            Event::AgentStarts(n) => self.nodes[n].start_agent(&mut self.shared),
            Event::Node(n, what) => {
                self.nodes[n].happen(what, &mut self.shared);
                let machines = self.nodes.iter().map(|node| (node.name.as_str(), &node.machine));
                let result = single_run::check(machines);
                self.shared.check("single run", result);
            }
            Event::Change if self.shared.faults => {
                // Without a hub there is no API.
                if self.hub.is_some() {
                    let written = self.operator.change(&mut self.store, self.shared.time());
                    self.written(written);
                }
                self.later(Event::Change);
            }
            Event::Fault if self.shared.faults => {
                self.fault();
                self.later(Event::Fault);
            }
            Event::Forge if self.shared.faults => {
                self.forge();
                self.later(Event::Forge);
            }
            Event::Change | Event::Fault | Event::Forge => {}
        }
    }

    /// The hub's watch shows what others wrote, a moment later.
    fn written(&mut self, written: Vec<Written>) {
        for (kind, key, what) in written {
            self.shared.say(format_args!("operator, {} {key} {what}", kind.plural));
            let at = self.shared.now + self.random.between(0, 300);
            self.shared.queue.push(at, Event::HubSees(kind, key));
        }
    }

    fn fault(&mut self) {
        let storm = self.shared.params.scenario == Scenario::Storm;
        let (now, n) = (self.shared.now, self.random.between(0, self.nodes.len() as u64));
        let n = usize::try_from(n).unwrap_or(0);
        let peer = n.checked_sub(1).map_or(Peer::Hub, Peer::Node);
        let node = n.saturating_sub(1);
        match self.random.between(0, 9) {
            0..=2 => {
                let longest = if storm { 120_000 } else { 1_800_000 };
                let millis = self.random.between(1_000, longest);
                self.shared.say(format_args!("{peer:?} is cut off for {millis} ms"));
                self.shared.net.part(peer, millis, &mut self.shared.queue, now);
            }
            3 => {
                self.shared.say(format_args!("connection of {peer:?} breaks"));
                self.shared.net.sever(peer, &mut self.shared.queue, now);
            }
            4 => self.kill_hub(),
            5 => {
                let writes = self.random.between(1, 12);
                if let Some(hub) = &mut self.hub {
                    self.shared.say(format_args!("hub dies after {writes} writes"));
                    hub.light_fuse(writes);
                }
            }
            6 => {
                self.shared.say(format_args!("broker starts anew without a disk"));
                self.shared.net.forget(&mut self.shared.queue, now);
            }
            7 if storm => {
                self.nodes[node].power_cut(&mut self.shared);
                let at = now + self.random.between(1_000, 90_000);
                self.shared.queue.push(at, Event::AgentStarts(node));
            }
            _ => {
                self.nodes[node].kill_agent(&mut self.shared);
                let at = now + self.random.between(100, 30_000);
                self.shared.queue.push(at, Event::AgentStarts(node));
            }
        }
    }

    /// Somebody who owns the broker, and saw everything, sends a node what is not for it now.
    fn forge(&mut self) {
        let Some(node) = self.random.pick(&self.nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>())
        else {
            return;
        };
        let Some((of, mut bytes)) = self.random.pick(self.shared.authentic.envelopes()) else { return };
        let how = match self.random.between(0, 3) {
            0 => {
                let desired = gannet_protocols_model::Desired {
                    version: 1,
                    node: node.clone(),
                    generation: Generation(1_000_000),
                    pods: Vec::new(),
                    network: None,
                };
                bytes = SigningKey::from_seed(&[9; 32]).sign(&desired.to_bytes()).to_bytes();
                "signs with another key"
            }
            1 => {
                let at = usize::try_from(self.random.between(0, bytes.len() as u64 - 1)).unwrap_or(0);
                bytes[at] ^= 1;
                "changes a bit of an old document"
            }
            _ => "sends an old document",
        };
        self.shared.say(format_args!("forger {how} of {of} to {node}"));
        let message = Message { topic: Topic::Desired(node), payload: bytes };
        self.shared.net.forge(&message, &mut self.shared.queue, self.shared.now);
    }
}
