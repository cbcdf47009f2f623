//! The hub's process: sessions, controllers and compiler over the store. It dies at any write and starts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gannet_hub_core::compile::{ClusterNetwork, compile, touched};
use gannet_hub_core::control::{
    Context, SeededNames, apply_report, node_down, node_event, node_registered, node_up, pod_removed,
    pods_gone, turn,
};
use gannet_hub_core::{Change, Kind, ObjectKey, World};
use gannet_protocols_link::{Fact, HubConfig, HubOutput, HubSessions, LinkEvent};
use gannet_protocols_model::{Digest, Generation, NodeName, PodUid, Report, Timestamp};
use gannet_protocols_wire::Topic;

use crate::event::Event;
use crate::invariant;
use crate::network::Peer;
use crate::random::Random;
use crate::shared::Shared;
use crate::store::{Applied, Recorded, Store};

/// Turns in a row before the rest waits for the next one.
const MAX_TURNS: usize = 20;

/// The process.
#[derive(Debug)]
pub struct Hub {
    /// Its conversations.
    pub sessions: HubSessions,
    /// What it knows of the store.
    pub world: World,
    epoch: u64,
    names: SeededNames,
    random: Random,
    /// What each node said last of all its pods.
    inventories: BTreeMap<NodeName, (Generation, BTreeSet<PodUid>)>,
    blobs: BTreeMap<NodeName, BTreeMap<Digest, Arc<[u8]>>>,
    /// Nodes whose documents may be out of date.
    touched: BTreeSet<NodeName>,
    turn_waits: bool,
    next_turn: Option<Timestamp>,
    /// Writes until it dies.
    fuse: Option<u64>,
}

impl Hub {
    /// Starts over what the store holds.
    pub fn start(store: &mut Store, shared: &mut Shared) -> Self {
        store.epoch += 1;
        let epoch = store.epoch;
        let mut hub = Self {
            sessions: HubSessions::new(HubConfig::new(epoch)),
            world: World::default(),
            epoch,
            names: SeededNames::new(u128::from(shared.params.seed) << 64 | u128::from(epoch)),
            random: Random::new(shared.params.seed, &format!("hub {epoch}")),
            inventories: BTreeMap::new(),
            blobs: BTreeMap::new(),
            touched: BTreeSet::new(),
            turn_waits: false,
            next_turn: None,
            fuse: None,
        };
        shared.say(format_args!("hub {epoch} starts at revision {}", store.revision()));
        for (kind, key, object) in store.all() {
            hub.see(kind, key, Some(object), shared);
        }
        hub.touched = hub.world.nodes.keys().filter_map(|key| key.name.parse().ok()).collect();
        let filters = Topic::hub_subscriptions();
        shared.net.join(Peer::Hub, &filters, hub.sessions.last_will(), &mut shared.queue, shared.now);
        hub.ask_turn(shared);
        hub
    }

    /// Lets it die at one of its next writes.
    pub fn light_fuse(&mut self, writes: u64) {
        self.fuse = Some(writes);
    }

    /// Whether it died in the middle of what it did.
    pub fn is_dead(&self) -> bool {
        self.fuse == Some(0)
    }

    fn burn(&mut self) -> bool {
        self.fuse = self.fuse.map(|writes| writes.saturating_sub(1));
        !self.is_dead()
    }

    fn see(&mut self, kind: &Kind, key: &ObjectKey, object: Option<&serde_json::Value>, shared: &mut Shared) {
        let bytes = object.map(|o| o.to_string().into_bytes());
        let result = self.world.apply(kind, key, bytes.as_deref()).map_err(|e| format!("{e}: {e:?}"));
        shared.check("world", result);
    }

    /// Sees what somebody else wrote.
    pub fn look(&mut self, kind: &'static Kind, key: &ObjectKey, store: &Store, shared: &mut Shared) {
        let before = self.world.clone();
        self.see(kind, key, store.get(kind, key), shared);
        self.touched.extend(touched(&before, &self.world, kind, key));
        self.ask_turn(shared);
    }

    fn ask_turn(&mut self, shared: &mut Shared) {
        if !std::mem::replace(&mut self.turn_waits, true) {
            let at = shared.now + self.random.between(5, 60);
            shared.queue.push(at, Event::HubTurn(self.epoch));
        }
    }

    /// Commits changes one by one; whether any was made.
    fn commit(&mut self, changes: Vec<Change>, store: &mut Store, shared: &mut Shared) -> bool {
        let mut any = false;
        for change in changes {
            let Some((kind, key)) = Store::target(&change) else { continue };
            if self.is_dead() {
                return any;
            }
            let applied = store.apply(&change, shared.time());
            shared.say(format_args!("hub {} {} {key}: {applied:?}", verb(&change), kind.plural));
            if applied == Applied::Stale {
                continue;
            }
            any = true;
            if !self.burn() {
                return any;
            }
            self.look(kind, &key, store, shared);
        }
        any
    }

    /// The controllers' turn, and then the documents of the nodes that it touched.
    pub fn take_turn(&mut self, epoch: u64, store: &mut Store, shared: &mut Shared) {
        if epoch != self.epoch {
            return;
        }
        // Its own writes ask for the turns that it takes here.
        self.turn_waits = true;
        let mut settled = false;
        for _ in 0..MAX_TURNS {
            let now = shared.time();
            let turn = turn(&mut Context { world: &self.world, now, ids: &mut self.names });
            self.next_turn = turn.next;
            settled = !self.commit(turn.changes, store, shared);
            if settled || self.is_dead() {
                break;
            }
        }
        self.turn_waits = false;
        if !settled {
            self.ask_turn(shared);
        }
        self.documents(store, shared);
    }

    fn documents(&mut self, store: &mut Store, shared: &mut Shared) {
        let cluster = ClusterNetwork::default();
        if self.random.chance(50) {
            shared.check("touched", invariant::touched::check(&self.world, &cluster, &self.touched, store));
        }
        while let Some(node) = self.touched.pop_first() {
            if self.is_dead() {
                return;
            }
            let documents = compile(&self.world, &cluster, &node);
            if !self.world.nodes.contains_key(&ObjectKey::new("", node.as_str())) {
                continue;
            }
            let content = documents.content(&node);
            let before = store.recorded.get(&node);
            let generation = match before {
                Some(before) if before.content == content => before.generation,
                _ => before.map_or(Generation(1), |b| b.generation.next()),
            };
            if before.is_none_or(|b| b.generation != generation) {
                store.recorded.insert(node.clone(), Recorded { generation, content });
                let pods = documents.pods.len();
                shared.say(format_args!("hub records generation {generation} of {node}, {pods} pods"));
                if !self.burn() {
                    return;
                }
                self.blobs.remove(&node);
            }
            if !self.blobs.contains_key(&node) {
                let desired = documents.desired(&node, generation);
                let envelope = shared.key.sign(&desired.to_bytes()).to_bytes();
                let issued = shared.authentic.issue(desired, &envelope);
                shared.check("authentic", issued);
                self.blobs.insert(node.clone(), documents.blobs);
                let outputs = self.sessions.set_desired(&node, generation, envelope.into(), shared.time());
                self.carry_out(outputs, store, shared);
            }
            // Also where nothing changed: what was told while that was unsure may count now.
            self.sweep(&node, store, shared);
        }
    }

    /// The link tells something.
    pub fn on_link(&mut self, event: LinkEvent, store: &mut Store, shared: &mut Shared) {
        let now = shared.time();
        let outputs = match event {
            LinkEvent::Up => self.sessions.on_link_up(now),
            LinkEvent::Down { .. } => {
                self.sessions.on_link_down();
                Vec::new()
            }
            LinkEvent::Message(message) => {
                let blobs = &self.blobs;
                self.sessions.on_message(&message, now, |node, digest| blobs.get(node)?.get(digest).cloned())
            }
            LinkEvent::Malformed { .. } => Vec::new(),
        };
        self.carry_out(outputs, store, shared);
    }

    /// Time has passed.
    pub fn wake(&mut self, store: &mut Store, shared: &mut Shared) {
        let outputs = self.sessions.on_tick(shared.time());
        self.carry_out(outputs, store, shared);
        if self.next_turn.is_some_and(|at| at <= shared.time()) {
            self.next_turn = None;
            self.ask_turn(shared);
        }
    }

    /// When it has to be looked at.
    pub fn next_wake(&self) -> Option<u64> {
        [self.sessions.next_wake(), self.next_turn].into_iter().flatten().min().map(Shared::millis)
    }

    fn carry_out(&mut self, outputs: Vec<HubOutput>, store: &mut Store, shared: &mut Shared) {
        for output in outputs {
            if self.is_dead() {
                return;
            }
            match output {
                HubOutput::Publish(message) => {
                    shared.net.publish(Peer::Hub, message, &mut shared.queue, shared.now)
                }
                HubOutput::Fact(fact) => self.learn(fact, store, shared),
            }
        }
    }

    fn learn(&mut self, fact: Fact, store: &mut Store, shared: &mut Shared) {
        let now = shared.time();
        match fact {
            Fact::NodeUp { node, session } => {
                shared.say(format_args!("hub hears {node} in session {session}"));
                if let Some(known) = self.world.nodes.get(&ObjectKey::new("", node.as_str())) {
                    let changes = node_up(known, now);
                    self.commit(changes, store, shared);
                }
            }
            Fact::NodeDown { node, why, .. } => {
                shared.say(format_args!("hub misses {node}: {why:?}"));
                if let Some(known) = self.world.nodes.get(&ObjectKey::new("", node.as_str())) {
                    let changes = node_down(known, "the agent stopped reporting", now);
                    self.commit(changes, store, shared);
                }
            }
            Fact::Report { node, report } => self.read(&node, &report, store, shared),
            Fact::Inventory { node, generation, pods } => {
                self.inventories.insert(node.clone(), (generation, pods));
                self.sweep(&node, store, shared);
            }
            Fact::Generation { .. } | Fact::Command { .. } => {}
        }
    }

    fn read(&mut self, node: &NodeName, report: &Report, store: &mut Store, shared: &mut Shared) {
        let now = shared.time();
        shared.say(format_args!(
            "hub reads report {}/{} of {node} at generation {}{}: {} pods, {} gone",
            report.session,
            report.sequence,
            report.generation,
            if report.whole { ", whole" } else { "" },
            report.pods.len(),
            report.removed.len()
        ));
        if let Some(info) = &report.node {
            let changes = node_registered(&self.world, node, info, now);
            self.commit(changes, store, shared);
        }
        for pod in &report.pods {
            let change = apply_report(&self.world, node, pod, now);
            self.commit(change.into_iter().collect(), store, shared);
        }
        for uid in &report.removed {
            let change = pod_removed(&self.world, node, uid);
            self.commit(change.into_iter().collect(), store, shared);
        }
        let events = report.events.iter().filter_map(|event| node_event(&self.world, node, event)).collect();
        self.commit(events, store, shared);
    }

    /// Lets go of deleted pods of which nothing is left on their node: where the node works towards the newest document,
    /// and that one says all that is wanted now.
    fn sweep(&mut self, node: &NodeName, store: &mut Store, shared: &mut Shared) {
        let newest = store.recorded.get(node).map(|recorded| recorded.generation);
        let Some((generation, listed)) = self.inventories.get(node) else { return };
        if newest != Some(*generation) || self.touched.contains(node) {
            return;
        }
        let changes = pods_gone(&self.world, node, listed);
        self.commit(changes, store, shared);
    }
}

fn verb(change: &Change) -> &'static str {
    match change {
        Change::Create { .. } => "creates",
        Change::Update { .. } => "updates",
        Change::Delete { .. } => "deletes",
        Change::Remove { .. } => "removes",
        Change::Event { .. } => "tells of",
    }
}
