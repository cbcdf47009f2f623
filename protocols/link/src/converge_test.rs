//! Both sides over a broker that loses, doubles and reorders: once it stops, they agree.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use gannet_protocols_model::{Digest, Generation, Session, SigningKey};
use gannet_protocols_wire::Topic;
use proptest::prelude::*;

use crate::sample::{KEY, at, document, info, node, pods};
use crate::*;

#[derive(Debug, Clone)]
enum Step {
    /// Pods are now so.
    Observe(u8),
    /// The hub compiles a new document.
    Desire(u8),
    /// The first message that waits is lost; on the agent's side or the hub's.
    Lose(bool),
    /// The first message comes twice, or last.
    Repeat(bool),
    Defer(bool),
    /// One message is delivered.
    Deliver(bool),
    /// The link is cut, and comes back.
    Cut(bool),
    Connect(bool),
    /// The agent's process starts anew, with its ledger.
    Restart,
    /// The broker starts anew without a disk.
    Forget,
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let side = any::<bool>;
    prop_oneof![
        3 => (0..6u8).prop_map(Step::Observe),
        2 => (0..4u8).prop_map(Step::Desire),
        6 => side().prop_map(Step::Lose),
        2 => side().prop_map(Step::Repeat),
        2 => side().prop_map(Step::Defer),
        12 => side().prop_map(Step::Deliver),
        1 => side().prop_map(Step::Cut),
        2 => side().prop_map(Step::Connect),
        1 => Just(Step::Restart),
        1 => Just(Step::Forget),
        6 => (0..500u32).prop_map(Step::Pass),
        2 => (0..70_000u32).prop_map(Step::Pass),
    ]
}

struct World {
    now: u64,
    broker: MemoryBroker,
    agent: AgentSession,
    agent_id: ClientId,
    hub: HubSessions,
    hub_id: ClientId,
    starts: u64,
    ledger: BTreeMap<Digest, Vec<u8>>,
    held: Option<Held>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    generation: u64,
    observed: u8,
    up: bool,
}

fn agent(start: u64, held: Option<Held>) -> AgentSession {
    let key = SigningKey::from_seed(&KEY).verifying_key();
    AgentSession::new(AgentConfig::new(node(), Session(start), key), held)
}

impl World {
    fn new() -> Self {
        let mut broker = MemoryBroker::default();
        let agent = agent(1, None);
        let hub = HubSessions::new(HubConfig::new(1));
        let agent_id = broker.client(&Topic::node_subscriptions(&node()), Some(agent.last_will()));
        let hub_id = broker.client(&Topic::hub_subscriptions(), Some(hub.last_will()));
        let mut world = Self {
            now: 0,
            broker,
            agent,
            agent_id,
            hub,
            hub_id,
            starts: 1,
            ledger: BTreeMap::new(),
            held: None,
            blobs: BTreeMap::new(),
            generation: 0,
            observed: 0,
            up: false,
        };
        world.observe(0);
        for hub in [true, false] {
            world.take(&Step::Connect(hub));
        }
        world
    }

    fn agent_does(&mut self, outputs: Vec<AgentOutput>) {
        let mut todo: VecDeque<_> = outputs.into();
        while let Some(output) = todo.pop_front() {
            match output {
                AgentOutput::Publish(message) => {
                    self.broker.publish(self.agent_id, &message);
                }
                AgentOutput::LookUp { digest } => {
                    let found = self.ledger.get(&digest).map(Vec::as_slice);
                    todo.extend(self.agent.on_look_up(&digest, found, at(self.now)));
                }
                AgentOutput::KeepBlob { digest, bytes } => {
                    assert!(digest.matches(&bytes));
                    self.ledger.insert(digest, bytes);
                }
                AgentOutput::Accept { desired, envelope } => {
                    let before = self.held.map_or(Generation(0), |h| h.generation);
                    assert!(desired.generation > before, "{} after {before}", desired.generation);
                    assert!(desired.pods.iter().all(|pod| self.ledger.contains_key(&pod.manifest)));
                    self.held =
                        Some(Held { generation: desired.generation, envelope: Digest::of(&envelope) });
                    todo.extend(self.agent.on_ledger(desired.generation, at(self.now)));
                }
                AgentOutput::Refused { .. } | AgentOutput::OpenStream { .. } => {}
                AgentOutput::StreamCredit { .. } | AgentOutput::CloseStream { .. } => {}
            }
        }
    }

    fn hub_does(&mut self, outputs: Vec<HubOutput>) {
        for output in outputs {
            match output {
                HubOutput::Publish(message) => {
                    self.broker.publish(self.hub_id, &message);
                }
                HubOutput::Fact(Fact::NodeUp { .. }) => self.up = true,
                HubOutput::Fact(Fact::NodeDown { .. }) => self.up = false,
                HubOutput::Fact(_) => {}
            }
        }
    }

    fn observe(&mut self, n: u8) {
        self.observed = n;
        let outputs = self.agent.observe(&self.truth(), &info(), vec![], at(self.now));
        self.agent_does(outputs);
    }

    fn truth(&self) -> BTreeMap<gannet_protocols_model::PodUid, gannet_protocols_model::PodStatus> {
        match self.observed {
            0 => pods(&[]),
            1 => pods(&[("a", "1")]),
            2 => pods(&[("a", "2"), ("b", "1")]),
            3 => pods(&[("b", "1")]),
            4 => pods(&[("a", "1"), ("b", "2"), ("c", "1")]),
            _ => pods(&[("c", "2")]),
        }
    }

    fn id(&self, hub: bool) -> ClientId {
        if hub { self.hub_id } else { self.agent_id }
    }

    fn deliver(&mut self, hub: bool) -> bool {
        let Some(event) = self.broker.pop(self.id(hub)) else { return false };
        let now = at(self.now);
        if !hub {
            let outputs = self.agent.on_link(event, now);
            self.agent_does(outputs);
            return true;
        }
        let outputs = match event {
            LinkEvent::Up => self.hub.on_link_up(now),
            LinkEvent::Down { .. } => {
                self.hub.on_link_down();
                vec![]
            }
            LinkEvent::Message(message) => {
                let blobs = &self.blobs;
                self.hub
                    .on_message(&message, now, |_, digest| blobs.get(digest).map(|b| Arc::from(b.as_slice())))
            }
            LinkEvent::Malformed { topic } => panic!("{topic}"),
        };
        self.hub_does(outputs);
        true
    }

    fn pass(&mut self, millis: u64) {
        self.now += millis;
        let outputs = self.agent.on_tick(at(self.now));
        self.agent_does(outputs);
        let outputs = self.hub.on_tick(at(self.now));
        self.hub_does(outputs);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Observe(n) => self.observe(n),
            Step::Desire(n) => {
                self.generation += 1;
                let (envelope, blobs) = document(self.generation, n.into());
                self.blobs.extend(blobs);
                let generation = Generation(self.generation);
                let outputs = self.hub.set_desired(&node(), generation, envelope.into(), at(self.now));
                self.hub_does(outputs);
            }
            // A link's own events are not messages: they are neither lost nor reordered.
            Step::Lose(hub) | Step::Repeat(hub) | Step::Defer(hub) => {
                let id = self.id(hub);
                let inbox = self.broker.inbox(id).expect("a client");
                if !matches!(inbox.front(), Some(LinkEvent::Message(_))) {
                    return;
                }
                let first = inbox.pop_front().expect("a message");
                match step {
                    Step::Repeat(_) => {
                        inbox.push_front(first.clone());
                        inbox.push_back(first);
                    }
                    Step::Defer(_) => inbox.push_back(first),
                    _ => {}
                }
            }
            Step::Deliver(hub) => {
                self.deliver(hub);
            }
            Step::Cut(hub) => self.broker.cut(self.id(hub)),
            Step::Connect(hub) => {
                if !self.broker.is_up(self.id(hub)) {
                    self.broker.connect(self.id(hub));
                }
            }
            Step::Restart => {
                self.broker.cut(self.agent_id);
                self.starts += 1;
                self.agent = agent(self.starts, self.held);
                self.agent_id =
                    self.broker.client(&Topic::node_subscriptions(&node()), Some(self.agent.last_will()));
                self.observe(self.observed);
            }
            Step::Forget => {
                self.broker.cut(self.agent_id);
                self.broker.cut(self.hub_id);
                self.broker.forget_retained();
            }
            Step::Pass(millis) => self.pass(millis.into()),
        }
    }

    fn heal(&mut self) {
        for hub in [true, false] {
            self.take(&Step::Connect(hub));
        }
        // Long enough for the longest pause between two sendings of a document.
        for _ in 0..260 {
            while self.deliver(true) || self.deliver(false) {}
            self.pass(15_000);
        }
        while self.deliver(true) || self.deliver(false) {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_agree_once_messages_pass(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.heal();
        prop_assert!(world.up && world.hub.is_connected(&node()));
        prop_assert_eq!(world.hub.pods(&node()), Some(&world.truth()));
        prop_assert_eq!(world.agent.generation(), Generation(world.generation));
    }
}
