//! The node's conversation with its hub.

use std::collections::{BTreeMap, BTreeSet};

use gannet_protocols_model::{
    Desired, Digest, EventKind, Generation, NodeEvent, NodeInfo, PodStatus, PodUid, Timestamp,
};
use gannet_protocols_wire::{Beat, Get, NodeState, StreamId, Topic};

use super::commands::Commands;
use super::fetch::Fetch;
use super::output::{AgentConfig, AgentOutput, Held};
use super::reports::Reports;
use crate::{LinkEvent, Message};

/// The most streams open at a time: each holds up to a window of log lines in memory.
pub const MAX_STREAMS: usize = 16;

/// The node's side: told what happens, it says what to do. See the crate's head for its promises.
#[derive(Debug)]
pub struct AgentSession {
    pub(super) config: AgentConfig,
    pub(super) up: bool,
    /// The epoch of the hub that serves; `None` while none does.
    pub(super) hub: Option<u64>,
    pub(super) held: Option<Held>,
    pub(super) fetch: Option<Fetch>,
    /// Handed to the ledger, which has not answered yet.
    pub(super) accepting: Option<Held>,
    /// The last document that was refused: said once, however often it comes.
    pub(super) refused: Option<Digest>,
    pub(super) reports: Reports,
    pub(super) beat: u32,
    pub(super) beat_at: Timestamp,
    pub(super) commands: Commands,
    pub(super) streams: BTreeSet<StreamId>,
    pub(super) malformed: u64,
}

pub(super) type Outputs = Vec<AgentOutput>;

impl AgentSession {
    /// A session of an agent that has just started; `held` is what its ledger says.
    pub fn new(config: AgentConfig, held: Option<Held>) -> Self {
        Self {
            reports: Reports::new(config.session),
            config,
            up: false,
            hub: None,
            held,
            fetch: None,
            accepting: None,
            refused: None,
            beat: 0,
            beat_at: Timestamp::default(),
            commands: Commands::default(),
            streams: BTreeSet::new(),
            malformed: 0,
        }
    }

    /// The link's last will: what the broker says of a node that it lost.
    pub fn last_will(&self) -> Message {
        self.state(false)
    }

    /// What to send before an orderly stop.
    pub fn farewell(&self) -> Message {
        self.state(false)
    }

    /// How many messages were dropped because they were malformed or nobody asked for them.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Whether the link is up.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// The generation that the node works towards.
    pub fn generation(&self) -> Generation {
        self.held.map_or(Generation(0), |held| held.generation)
    }

    /// When to call [`AgentSession::on_tick`] next, whatever else happens.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.up {
            return None;
        }
        let fetch = self.fetch.as_ref().and_then(Fetch::next_wake);
        [Some(self.beat_at), self.reports.due(), fetch].into_iter().flatten().min()
    }

    /// Something happened on the link.
    #[must_use]
    pub fn on_link(&mut self, event: LinkEvent, now: Timestamp) -> Outputs {
        let mut out = Vec::new();
        match event {
            LinkEvent::Up => {
                self.up = true;
                self.hub = None;
                self.beat_at = now.plus(self.config.beat_interval);
                out.push(AgentOutput::Publish(self.state(true)));
                self.reports.want_whole(now.plus(self.config.coalesce));
            }
            LinkEvent::Down { .. } => {
                self.up = false;
                if let Some(fetch) = &mut self.fetch {
                    fetch.on_link_down(now);
                }
                out.extend(
                    std::mem::take(&mut self.streams).into_iter().map(|id| AgentOutput::CloseStream { id }),
                );
            }
            LinkEvent::Message(message) => self.on_message(&message, now, &mut out),
            LinkEvent::Malformed { .. } => self.malformed += 1,
        }
        self.due(now, &mut out);
        out
    }

    /// Time has passed.
    #[must_use]
    pub fn on_tick(&mut self, now: Timestamp) -> Outputs {
        let mut out = Vec::new();
        self.due(now, &mut out);
        out
    }

    /// The observed state is this now; what is new since the last look is reported soon.
    #[must_use]
    pub fn observe(
        &mut self,
        pods: &BTreeMap<PodUid, PodStatus>,
        node: &NodeInfo,
        events: Vec<NodeEvent>,
        now: Timestamp,
    ) -> Outputs {
        let news = self.reports.observe(pods, node) || !events.is_empty();
        for event in events {
            self.reports.event(event);
        }
        if news {
            self.reports.want(now.plus(self.config.coalesce));
        }
        self.on_tick(now)
    }

    /// The document asks for the end of these pods, and nothing of them is here: the hub is told so, also where the node
    /// never saw them. The list replaces the one before.
    #[must_use]
    pub fn set_absent(&mut self, pods: BTreeSet<PodUid>, now: Timestamp) -> Outputs {
        if self.reports.set_absent(pods) {
            self.reports.want(now.plus(self.config.coalesce));
        }
        self.on_tick(now)
    }

    /// The ledger was asked for a blob: here it is, or it is not there.
    #[must_use]
    pub fn on_look_up(&mut self, digest: &Digest, bytes: Option<&[u8]>, now: Timestamp) -> Outputs {
        let mut out = Vec::new();
        let outcome = self.fetch.as_mut().map(|fetch| fetch.on_look_up(digest, bytes, now));
        if let Some(Err(reason)) = outcome {
            self.refuse_fetch(&reason, now, &mut out);
        }
        self.due(now, &mut out);
        out
    }

    /// The ledger holds the document that was accepted.
    #[must_use]
    pub fn on_ledger(&mut self, generation: Generation, now: Timestamp) -> Outputs {
        if let Some(held) = self.accepting.take_if(|a| a.generation == generation) {
            self.held = Some(held);
            self.refused = None;
            self.reports.set_refusal(None);
            self.reports.want(now.plus(self.config.coalesce));
        }
        self.on_tick(now)
    }

    /// The ledger could not write, so the document is as if it had not come; the hub sends it again after a while.
    #[must_use]
    pub fn on_ledger_failed(&mut self, reason: &str, now: Timestamp) -> Outputs {
        self.accepting = None;
        self.fetch = None;
        self.reports.event(warning(now, "LedgerFailed", reason));
        self.reports.want(now.plus(self.config.coalesce));
        self.on_tick(now)
    }

    /// Something of the document that is held was damaged in the ledger: what is missing is fetched again. Nothing is done
    /// while a newer document is on its way.
    #[must_use]
    pub fn on_lost(&mut self, desired: Desired, envelope: Vec<u8>, now: Timestamp) -> Outputs {
        let digest = Digest::of(&envelope);
        if self.fetch.is_none() && self.held.is_some_and(|held| held.envelope == digest) {
            self.fetch = Some(Fetch::new(desired, envelope, digest));
        }
        self.on_tick(now)
    }

    /// A stream has ended on this side.
    pub fn on_stream_ended(&mut self, id: &StreamId) {
        self.streams.remove(id);
    }

    /// Everything whose time has come.
    fn due(&mut self, now: Timestamp, out: &mut Outputs) {
        self.go_on_fetching(now, out);
        if !self.up {
            return;
        }
        if self.reports.due().is_some_and(|due| due <= now) {
            self.flush(out);
        }
        if self.beat_at <= now {
            // What changed goes first, so that the hash is one that the hub can have.
            if self.reports.due().is_some() {
                self.flush(out);
            }
            let beat = Beat(self.beat, self.generation(), self.reports.hash());
            out.push(AgentOutput::Publish(Message::new(Topic::Beat(self.config.node.clone()), &beat)));
            self.beat = Beat::next_sequence(self.beat);
            self.beat_at = now.plus(self.config.beat_interval);
        }
    }

    fn go_on_fetching(&mut self, now: Timestamp, out: &mut Outputs) {
        let Some(fetch) = &mut self.fetch else { return };
        out.extend(fetch.take_look_ups().into_iter().map(|digest| AgentOutput::LookUp { digest }));
        if self.up {
            let topic = Topic::Get(self.config.node.clone());
            let asks =
                fetch.take_asks(now).into_iter().map(|digest| Message::new(topic.clone(), &Get { digest }));
            out.extend(asks.map(AgentOutput::Publish));
        }
        if let Some(done) = self.fetch.take_if(|fetch| fetch.is_complete()) {
            self.accepting = Some(Held { generation: done.desired.generation, envelope: done.digest });
            out.push(AgentOutput::Accept { desired: done.desired, envelope: done.envelope });
        }
    }

    pub(super) fn flush(&mut self, out: &mut Outputs) {
        let generation = self.generation();
        let topic = Topic::Report(self.config.node.clone());
        let reports = self.reports.take(generation);
        out.extend(reports.iter().map(|report| AgentOutput::Publish(Message::new(topic.clone(), report))));
    }

    pub(super) fn state(&self, alive: bool) -> Message {
        let state = NodeState { alive, session: self.config.session };
        Message::new(Topic::State(self.config.node.clone()), &state)
    }
}

pub(super) fn warning(at: Timestamp, reason: &str, message: &str) -> NodeEvent {
    NodeEvent {
        at,
        pod: None,
        container: None,
        kind: EventKind::Warning,
        reason: reason.into(),
        message: message.chars().take(500).collect(),
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
