//! A node: a machine, its flash, and the agent on it, which may be gone.

use gannet_agent_core::Fact;
use gannet_protocols_link::{AgentConfig, AgentOutput, AgentSession, LinkEvent};
use gannet_protocols_model::{ByteSize, CpuMillis, NodeInfo, NodeName, Timestamp};
use gannet_protocols_wire::Topic;

use crate::agent::Agent;
use crate::event::{Event, Happening};
use crate::invariant::steady;
use crate::ledger::{Accepted, Ledger, Records};
use crate::machine::Machine;
use crate::network::Peer;
use crate::random::Random;
use crate::shared::Shared;

/// Changes of the records within this time become one write.
const GATHER_MILLIS: u64 = 1_000;
/// After this time an agent looks for its hub even if pods are still being started.
const SETTLE_MILLIS: u64 = 10_000;

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its number.
    pub index: usize,
    /// Its name.
    pub name: NodeName,
    /// Its flash.
    pub ledger: Ledger,
    /// Its hardware.
    pub machine: Machine,
    /// Its agent.
    pub agent: Option<Agent>,
    pub(crate) random: Random,
    pub(crate) agents: u64,
    started: u64,
    /// Records on their way to flash.
    unwritten: Option<(u64, Records)>,
    one_site: bool,
}

impl Node {
    /// A node that was just plugged in.
    pub fn new(index: usize, name: NodeName, shared: &Shared) -> Self {
        Self {
            random: Random::new(shared.params.seed, name.as_str()),
            index,
            name,
            ledger: Ledger::default(),
            machine: Machine::default(),
            agent: None,
            agents: 0,
            started: 0,
            unwritten: None,
            one_site: shared.params.one_site,
        }
    }

    fn info(&self) -> NodeInfo {
        let site = ("gannet.dev/site".to_owned(), "s".to_owned());
        NodeInfo {
            address: [10, 0, 0, u8::try_from(self.index + 1).unwrap_or(1)].into(),
            hostname: self.name.to_string(),
            architecture: "arm64".into(),
            kernel: "6.1".into(),
            os_image: "Debian".into(),
            machine_id: self.name.to_string(),
            boot_id: format!("boot-{}", self.machine.boot),
            agent_version: "0.1.0".into(),
            cpu: CpuMillis(4000),
            memory: ByteSize(4 << 30),
            disk: ByteSize(1 << 35),
            cpu_reserved: CpuMillis(0),
            memory_reserved: ByteSize(0),
            disk_reserved: Default::default(),
            devices: Default::default(),
            max_pods: 110,
            labels: self.one_site.then_some(site).into_iter().collect(),
            conditions: Vec::new(),
        }
    }

    /// The agent starts: ledger, then what runs, then its pods; the hub comes last.
    pub fn start_agent(&mut self, shared: &mut Shared) {
        if self.agent.is_some() {
            return;
        }
        self.agents += 1;
        self.started = shared.now;
        let now = shared.time();
        let session = self.ledger.next_session();
        let config = AgentConfig::new(self.name.clone(), session, shared.key.verifying_key());
        let session = AgentSession::new(config, self.ledger.held());
        let records = self.machine.records.as_ref().unwrap_or(&self.ledger.records);
        let world = self.ledger.world();
        shared.say(format_args!(
            "{} agent {} starts at generation {}",
            self.name, self.agents, world.generation
        ));
        let (images, adopted) = (self.machine.images.clone(), self.machine.adopted());
        self.agent = Some(Agent::start(self.agents, session, records.clone(), images, world, adopted, now));
        self.after(shared);
    }

    /// The agent is killed. What its executor was about to do is done, half done, or not done.
    pub fn kill_agent(&mut self, shared: &mut Shared) {
        let Some(agent) = self.agent.take() else { return };
        shared.say(format_args!("{} agent {} is killed", self.name, agent.number));
        for (uid, work) in agent.work {
            if let Some(action) = work.actions.front() {
                self.abandon(&uid, action, work.wanted.as_deref(), shared);
            }
        }
        shared.net.leave(Peer::Node(self.index), &mut shared.queue, shared.now);
    }

    /// The machine loses its power; the agent with it.
    pub fn power_cut(&mut self, shared: &mut Shared) {
        if let Some(agent) = self.agent.take() {
            shared.say(format_args!("{} agent {} dies with the power", self.name, agent.number));
            shared.net.leave(Peer::Node(self.index), &mut shared.queue, shared.now);
        }
        self.write_records(shared.now);
        self.unwritten = None;
        self.machine.power_cut();
    }

    fn write_records(&mut self, now: u64) {
        if let Some((_, records)) = self.unwritten.take_if(|(due, _)| *due <= now) {
            self.ledger.records = records;
        }
    }

    /// The link tells something.
    pub fn on_link(&mut self, event: LinkEvent, shared: &mut Shared) {
        let now = shared.time();
        let Some(agent) = &mut self.agent else { return };
        if event == LinkEvent::Up {
            agent.take(Fact::LinkUp, now);
        }
        let outputs = agent.session.on_link(event, now);
        self.carry_out(outputs, shared);
        self.after(shared);
    }

    /// Time has passed.
    pub fn wake(&mut self, shared: &mut Shared) {
        let now = shared.time();
        let Some(agent) = &mut self.agent else { return };
        let outputs = agent.session.on_tick(now);
        self.carry_out(outputs, shared);
        self.after(shared);
    }

    /// After anything: plan, hand out, tell.
    pub(crate) fn after(&mut self, shared: &mut Shared) {
        let now = shared.time();
        self.write_records(shared.now);
        let Some(agent) = &mut self.agent else { return };
        let current = self.ledger.current().map(|slot| slot.desired.generation).unwrap_or_default();
        shared.check("authentic", crate::invariant::authentic::acts_on(agent.desired.generation, current));
        let planned = agent.plan(now);
        shared.check("steady", steady::may_do(&planned, &agent.desired, &agent.observed, &self.machine));
        let given = agent.turn(now);
        for image in given.pulls {
            let at = shared.now + self.random.between(100, 20_000);
            let failed = shared.faults && self.random.chance(shared.params.failure);
            let digest = gannet_protocols_model::Digest::of(image.to_string().as_bytes());
            let result = if failed { Err("registry is not reachable".to_owned()) } else { Ok(digest) };
            let fact = Fact::PullEnded { image, result, note: String::new() };
            let told = Happening::Told { agent: agent.number, fact: Box::new(fact), next: None };
            shared.queue.push(at, Event::Node(self.index, told));
        }
        for pod in given.pods {
            let at = shared.now + self.random.between(5, 2_000);
            shared.queue.push(at, Event::Node(self.index, Happening::Step(agent.number, pod)));
        }
        let settled = agent.observed.pods.values().all(|pod| !pod.busy);
        if !agent.joined && (settled || shared.now >= self.started + SETTLE_MILLIS) {
            agent.joined = true;
            let peer = Peer::Node(self.index);
            let filters = Topic::node_subscriptions(&self.name);
            shared.net.join(peer, &filters, agent.session.last_will(), &mut shared.queue, shared.now);
        }
        self.keep_records(shared.now);
        self.tell(now, shared);
    }

    fn keep_records(&mut self, now: u64) {
        let Some(agent) = &self.agent else { return };
        let records = agent.records();
        let durable = |records: &Records| -> Vec<_> {
            records.iter().map(|(uid, record)| (uid.clone(), record.durable())).collect()
        };
        let newest = self.unwritten.as_ref().map_or(&self.ledger.records, |(_, records)| records);
        if durable(newest) != durable(&records) {
            let due = self.unwritten.as_ref().map_or(now + GATHER_MILLIS, |(due, _)| *due);
            self.unwritten = Some((due, records.clone()));
        }
        self.machine.records = Some(records);
    }

    /// Shows the session what is observed.
    fn tell(&mut self, now: Timestamp, shared: &mut Shared) {
        let info = self.info();
        let Some(agent) = &mut self.agent else { return };
        let events = std::mem::take(&mut agent.events);
        for event in &events {
            shared
                .trace
                .say(shared.now, format_args!("{} event {}: {}", self.name, event.reason, event.message));
        }
        let outputs = agent.session.observe(&agent.statuses, &info, events, now);
        self.carry_out(outputs, shared);
    }

    /// Does what the session asks, in order; what an answer leads to comes before the rest.
    fn carry_out(&mut self, outputs: Vec<AgentOutput>, shared: &mut Shared) {
        let mut lists = vec![outputs.into_iter()];
        while let Some(list) = lists.last_mut() {
            let Some(output) = list.next() else {
                lists.pop();
                continue;
            };
            let (more, failed) = self.one(output, shared);
            if failed {
                lists.pop();
            }
            lists.push(more.into_iter());
        }
    }

    /// One output; true where the ledger failed, so that what follows in its list has no ground.
    fn one(&mut self, output: AgentOutput, shared: &mut Shared) -> (Vec<AgentOutput>, bool) {
        let now = shared.time();
        let full = shared.faults && self.random.chance(shared.params.failure / 8);
        let Some(agent) = &mut self.agent else { return (Vec::new(), false) };
        match output {
            AgentOutput::Publish(message) => {
                shared.net.publish(Peer::Node(self.index), message, &mut shared.queue, shared.now);
            }
            AgentOutput::LookUp { digest } => {
                return (agent.session.on_look_up(&digest, self.ledger.blob(&digest), now), false);
            }
            AgentOutput::KeepBlob { .. } | AgentOutput::Accept { .. } if full => {
                shared.say(format_args!("{} ledger cannot write", self.name));
                return (agent.session.on_ledger_failed("no space left on device", now), true);
            }
            AgentOutput::KeepBlob { digest, bytes } => self.ledger.keep(digest, bytes),
            AgentOutput::Accept { desired, envelope } => {
                let generation = desired.generation;
                let accepted = Accepted { desired, envelope };
                let result = shared.authentic.accepts(&self.name, &self.ledger, &accepted);
                shared.check("authentic", result);
                shared.say(format_args!("{} accepts generation {generation}", self.name));
                self.ledger.accept(accepted);
                agent.work_towards(self.ledger.world(), now);
                return (agent.session.on_ledger(generation, now), false);
            }
            AgentOutput::Refused { reason, generation } => {
                shared.say(format_args!("{} refuses {generation:?}: {reason}", self.name));
            }
            AgentOutput::OpenStream { .. }
            | AgentOutput::StreamCredit { .. }
            | AgentOutput::CloseStream { .. } => {}
        }
        (Vec::new(), false)
    }

    /// When the node has to be looked at.
    pub fn next_wake(&self) -> Option<u64> {
        let agent = self.agent.as_ref()?;
        let settle = (!agent.joined).then_some(self.started + SETTLE_MILLIS);
        let own = agent.next_wake().map(|at| Shared::millis(Timestamp::from_millis(at)));
        let flash = self.unwritten.as_ref().map(|(due, _)| *due);
        [own, settle, flash].into_iter().flatten().min()
    }
}
