//! The hub's conversation with all its nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gannet_protocols_model::{Digest, Generation, NodeName, PodStatus, PodUid, Report, Session, Timestamp};
use gannet_protocols_wire::{
    Beat, BlobReply, CommandPhase, CommandRequest, CommandState, Get, HubState, MAX_BEAT_BYTES,
    MAX_BLOB_BYTES, NodeState, Topic,
};
use serde::de::DeserializeOwned;

use super::fact::{Counters, DownReason, Fact, HubConfig, HubOutput, topic_kind};
use super::node::{Heard, Node, Presence, Wanted};
use crate::Message;

/// The ids of the hub's own commands start so.
const SYNC: &str = "sync-";

/// All nodes' sessions: told what happens, it says what to do. Streams are the shell's.
#[derive(Debug)]
pub struct HubSessions {
    config: HubConfig,
    up: bool,
    nodes: BTreeMap<NodeName, Node>,
    /// When to look whether a node fell silent: one entry a node that is up, moved only when it comes due.
    watches: BTreeSet<(Timestamp, NodeName)>,
    commands: u64,
    counters: Counters,
}

type Outputs = Vec<HubOutput>;

impl HubSessions {
    /// No node is known yet; those that are there say so when they see the new epoch.
    pub fn new(config: HubConfig) -> Self {
        Self {
            config,
            up: false,
            nodes: BTreeMap::new(),
            watches: BTreeSet::new(),
            commands: 0,
            counters: Counters::default(),
        }
    }

    /// The link's last will: what the broker says of a hub that it lost.
    pub fn last_will(&self) -> Message {
        Message::new(Topic::HubState, &HubState { alive: false, epoch: self.config.epoch })
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the node is there.
    pub fn is_connected(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|n| n.presence == Presence::Up)
    }

    /// How many nodes are there.
    pub fn connected(&self) -> usize {
        self.nodes.values().filter(|n| n.presence == Presence::Up).count()
    }

    /// What the node last reported of its pods.
    pub fn pods(&self, node: &NodeName) -> Option<&BTreeMap<PodUid, PodStatus>> {
        self.nodes.get(node).map(Node::pods)
    }

    /// When to call [`HubSessions::on_tick`] next, whatever else happens.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.watches.first().map(|(at, _)| *at)
    }

    /// The link is up: the hub says that it serves, and what it could not say before.
    #[must_use]
    pub fn on_link_up(&mut self, now: Timestamp) -> Outputs {
        self.up = true;
        let state = HubState { alive: true, epoch: self.config.epoch };
        let mut out = vec![HubOutput::Publish(Message::new(Topic::HubState, &state))];
        for (name, node) in &mut self.nodes {
            // Nodes get as long as ever from now: what they said meanwhile did not arrive.
            node.heard = now;
            if let Some(wanted) = node.wanted.as_mut().filter(|w| w.again_at.is_none()) {
                wanted.again_at = Some(now.plus(self.config.resend_after));
                out.push(desired(name, &wanted.envelope));
            }
        }
        out
    }

    /// The link is gone. What it had taken and not delivered is made good by beats.
    pub fn on_link_down(&mut self) {
        self.up = false;
    }

    /// A message that the sessions do not see was malformed: on an unknown topic, or of a stream.
    pub fn on_malformed(&mut self, kind: &'static str) {
        self.malformed(kind);
    }

    /// The node should work towards this signed document from now on. One of an older generation is ignored.
    #[must_use]
    pub fn set_desired(
        &mut self,
        name: &NodeName,
        generation: Generation,
        envelope: Arc<[u8]>,
        now: Timestamp,
    ) -> Outputs {
        let Some(node) = self.node(name, now) else { return Vec::new() };
        if node.wanted.as_ref().is_some_and(|w| w.generation > generation || w.envelope == envelope) {
            return Vec::new();
        }
        let pause = self.config.resend_after;
        let again_at = self.up.then(|| now.plus(pause));
        let out = if self.up { vec![desired(name, &envelope)] } else { Vec::new() };
        if let Some(node) = self.nodes.get_mut(name) {
            node.wanted = Some(Wanted { generation, envelope, again_at, pause });
        }
        out
    }

    /// The node was removed from the fleet: the broker forgets its document too.
    #[must_use]
    pub fn forget(&mut self, name: &NodeName) -> Outputs {
        self.nodes.remove(name).map_or_else(Vec::new, |_| vec![desired(name, &[])])
    }

    /// A message came. `blob` gives the bytes of a blob where this node's desired document closes over it.
    #[must_use]
    pub fn on_message(
        &mut self,
        message: &Message,
        now: Timestamp,
        blob: impl FnOnce(&NodeName, &Digest) -> Option<Arc<[u8]>>,
    ) -> Outputs {
        let kind = topic_kind(&message.topic);
        let Some(name) = message.topic.node().filter(|_| message.topic.is_from_node()).cloned() else {
            self.malformed(kind);
            return Vec::new();
        };
        let mut out = Vec::new();
        let read = match &message.topic {
            Topic::State(_) => self.read(message).map(|state| self.on_state(&name, &state, now, &mut out)),
            Topic::Report(_) => self.read(message).map(|report| self.on_report(&name, report, now, &mut out)),
            Topic::Beat(_) if message.payload.len() > MAX_BEAT_BYTES => None,
            Topic::Beat(_) => self.read(message).map(|beat| self.on_beat(&name, &beat, now, &mut out)),
            Topic::Get(_) => self.read(message).map(|Get { digest }| {
                let bytes = blob(&name, &digest);
                self.on_get(&name, digest, bytes, now, &mut out);
            }),
            Topic::CommandState(_, id) => self.read(message).map(|state: CommandState| {
                self.alive(&name, now, &mut out);
                if !id.as_str().starts_with(SYNC) || state.phase == CommandPhase::Failed {
                    out.push(HubOutput::Fact(Fact::Command { node: name.clone(), id: id.clone(), state }));
                }
            }),
            // Streams are the shell's.
            _ => Some(()),
        };
        if read.is_none() {
            self.malformed(kind);
        }
        out
    }

    /// Time has passed: who was not heard of for too long?
    #[must_use]
    pub fn on_tick(&mut self, now: Timestamp) -> Outputs {
        let mut out = Vec::new();
        while self.watches.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, name)) = self.watches.pop_first() else { break };
            let Some(node) = self.nodes.get_mut(&name) else { continue };
            if node.presence != Presence::Up {
                node.watched = false;
                continue;
            }
            let due = node.heard.plus(self.config.silence);
            // Without a link nobody can be heard, so nobody is judged.
            let again = if due > now { Some(due) } else { (!self.up).then(|| now.plus(self.config.silence)) };
            if let Some(again) = again {
                self.watches.insert((again, name));
                continue;
            }
            node.presence = Presence::Silent;
            node.watched = false;
            let (session, why) = (node.session, DownReason::Silent);
            out.push(HubOutput::Fact(Fact::NodeDown { node: name, session, why }));
        }
        out
    }

    fn on_state(&mut self, name: &NodeName, state: &NodeState, now: Timestamp, out: &mut Outputs) {
        let Some(node) = self.node(name, now) else { return };
        let session = state.session;
        if state.alive {
            match node.born(session) {
                Heard::Outdated => self.counters.outdated += 1,
                Heard::Known => node.heard = now,
                Heard::Rose => self.rise(name, session, now, out),
            }
            return;
        }
        match node.died(session) {
            None => self.counters.outdated += 1,
            Some(false) => {}
            Some(true) => {
                out.push(HubOutput::Fact(Fact::NodeDown {
                    node: name.clone(),
                    session,
                    why: DownReason::Died,
                }));
                // A node that took over its own half-open connection is alive, though the old one's will says otherwise:
                // then it answers, with its birth.
                self.sync(name, now, out);
            }
        }
    }

    fn on_report(&mut self, name: &NodeName, report: Report, now: Timestamp, out: &mut Outputs) {
        let Some(node) = self.node(name, now) else { return };
        match node.report(&report) {
            Heard::Outdated => {
                self.counters.outdated += 1;
                return;
            }
            Heard::Known => node.heard = now,
            Heard::Rose => self.rise(name, report.session, now, out),
        }
        let generation = report.generation;
        out.push(HubOutput::Fact(Fact::Report { node: name.clone(), report: Box::new(report) }));
        self.on_generation(name, generation, true, now, out);
    }

    fn on_beat(&mut self, name: &NodeName, beat: &Beat, now: Timestamp, out: &mut Outputs) {
        self.alive(name, now, out);
        let Some(node) = self.node(name, now) else { return };
        // A node of which no birth is known, or that is thought dead, is asked too: its answer settles it.
        let agrees = node.agrees(beat) && node.presence == Presence::Up;
        if !agrees {
            self.sync(name, now, out);
        }
        self.on_generation(name, beat.1, agrees, now, out);
    }

    /// `sure`: as far as this message tells, the hub knows the node's pods.
    fn on_generation(
        &mut self,
        name: &NodeName,
        generation: Generation,
        sure: bool,
        now: Timestamp,
        out: &mut Outputs,
    ) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        if node.generation != Some(generation) {
            node.generation = Some(generation);
            out.push(HubOutput::Fact(Fact::Generation { node: name.clone(), generation }));
        }
        if let Some((generation, pods)) = sure.then(|| node.take_inventory()).flatten() {
            out.push(HubOutput::Fact(Fact::Inventory { node: name.clone(), generation, pods }));
        }
        if let Some(envelope) = node.take_resend(now) {
            self.counters.resent += 1;
            out.push(desired(name, &envelope));
        }
    }

    fn on_get(
        &mut self,
        name: &NodeName,
        digest: Digest,
        bytes: Option<Arc<[u8]>>,
        now: Timestamp,
        out: &mut Outputs,
    ) {
        self.alive(name, now, out);
        let reply = match bytes {
            Some(bytes) if bytes.len() <= MAX_BLOB_BYTES => BlobReply::data(&bytes),
            Some(bytes) => {
                BlobReply::Refused(format!("blob has {} bytes, more than {MAX_BLOB_BYTES}", bytes.len()))
            }
            None => BlobReply::Refused("no document for this node names the blob".into()),
        };
        match &reply {
            BlobReply::Data(_) => self.counters.blobs_sent += 1,
            BlobReply::Refused(_) => self.counters.blobs_refused += 1,
        }
        out.push(HubOutput::Publish(Message::new(Topic::Blob(name.clone(), digest), &reply)));
    }

    /// Demands a whole report, unless that was done a moment ago.
    fn sync(&mut self, name: &NodeName, now: Timestamp, out: &mut Outputs) {
        let Some(node) = self.nodes.get_mut(name).filter(|n| n.sync_at <= now) else { return };
        node.sync_at = now.plus(self.config.sync_every);
        self.commands += 1;
        self.counters.syncs += 1;
        let Ok(id) = format!("{SYNC}{}-{}", self.config.epoch, self.commands).parse() else { return };
        let request = CommandRequest { name: "sync".into(), args: BTreeMap::new(), deadline: None };
        out.push(HubOutput::Publish(Message::new(Topic::Command(name.clone(), id), &request)));
    }

    /// A sign of life that names no session.
    fn alive(&mut self, name: &NodeName, now: Timestamp, out: &mut Outputs) {
        let Some(node) = self.node(name, now) else { return };
        node.heard = now;
        if node.alive() {
            let session = node.session;
            self.rise(name, session, now, out);
        }
    }

    fn rise(&mut self, name: &NodeName, session: Session, now: Timestamp, out: &mut Outputs) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.heard = now;
            if !std::mem::replace(&mut node.watched, true) {
                self.watches.insert((now.plus(self.config.silence), name.clone()));
            }
        }
        out.push(HubOutput::Fact(Fact::NodeUp { node: name.clone(), session }));
    }

    /// The node's entry; none once the hub remembers as many as it may.
    fn node(&mut self, name: &NodeName, now: Timestamp) -> Option<&mut Node> {
        if !self.nodes.contains_key(name) {
            if self.nodes.len() >= self.config.max_nodes {
                return None;
            }
            self.nodes.insert(name.clone(), Node::new(now));
        }
        self.nodes.get_mut(name)
    }

    fn read<T: DeserializeOwned>(&self, message: &Message) -> Option<T> {
        message.body().ok()
    }

    fn malformed(&mut self, kind: &'static str) {
        *self.counters.malformed.entry(kind).or_default() += 1;
    }
}

fn desired(node: &NodeName, envelope: &[u8]) -> HubOutput {
    HubOutput::Publish(Message { topic: Topic::Desired(node.clone()), payload: envelope.to_vec() })
}

#[cfg(test)]
#[path = "sessions_test.rs"]
mod tests;
