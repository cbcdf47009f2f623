//! What the node makes of the messages that come.

use std::error::Error;
use std::time::Duration;

use gannet_protocols_model::{Desired, DesiredError, Digest, Generation, Timestamp};
use gannet_protocols_wire::{
    BlobReply, CommandId, CommandPhase, CommandState, Down, HubState, StreamId, Topic, Up,
};

use super::commands::Verdict;
use super::fetch::{Came, Fetch};
use super::output::AgentOutput;
use super::session::{AgentSession, MAX_STREAMS, Outputs, warning};
use crate::{Message, Outgoing};

impl AgentSession {
    pub(super) fn on_message(&mut self, message: &Message, now: Timestamp, out: &mut Outputs) {
        if message.topic.node().is_some_and(|node| *node != self.config.node) {
            self.malformed += 1;
            return;
        }
        match &message.topic {
            Topic::HubState => self.on_hub_state(message, now),
            Topic::Desired(_) => self.on_desired(&message.payload, now, out),
            Topic::Blob(_, digest) => self.on_blob(digest, message, now, out),
            Topic::Command(_, id) => self.on_command(id, message, now, out),
            Topic::StreamDown(_, id) => self.on_stream(id, message, out),
            _ => self.malformed += 1,
        }
    }

    fn on_hub_state(&mut self, message: &Message, now: Timestamp) {
        let Ok(state) = message.body::<HubState>() else {
            self.malformed += 1;
            return;
        };
        let serves = state.alive.then_some(state.epoch);
        if serves.is_some() && serves != self.hub {
            self.reports.want_whole(now.plus(self.config.coalesce).plus(self.share_of_spread(state.epoch)));
        }
        self.hub = serves;
    }

    /// This node's place in the spread: always the same for a node and an epoch, and even over a fleet.
    fn share_of_spread(&self, epoch: u64) -> Duration {
        let drawn = Digest::of(format!("{} {epoch}", self.config.node).as_bytes()).hex();
        let share = u32::from_str_radix(&drawn[..4], 16).unwrap_or(0);
        self.config.spread.saturating_mul(share) / 0x1_0000
    }

    fn on_desired(&mut self, bytes: &[u8], now: Timestamp, out: &mut Outputs) {
        if bytes.is_empty() {
            // How a retained message is cleared: the node was removed from the fleet. It keeps what it has.
            return;
        }
        let digest = Digest::of(bytes);
        let fetching = self.fetch.as_ref().map(|f| f.digest);
        let accepting = self.accepting.map(|a| a.envelope);
        if [fetching, accepting, self.refused].contains(&Some(digest)) {
            return;
        }
        if self.held.is_some_and(|held| held.envelope == digest) {
            // The hub is back at what this node holds, so whatever was refused since matters no more.
            if fetching.is_none() && self.reports.set_refusal(None) {
                self.refused = None;
                self.reports.want(now.plus(self.config.coalesce));
            }
            return;
        }
        match Desired::open(bytes, &self.config.key, &self.config.node, self.newest()) {
            Ok(desired) => self.fetch = Some(Fetch::new(desired, bytes.to_vec(), digest)),
            Err(e) => {
                let generation = match &e {
                    DesiredError::Generation { found, .. } => Some(*found),
                    _ => None,
                };
                self.refuse(digest, generation, &chain(&e), now, out);
            }
        }
    }

    /// The newest generation that is held or under way: nothing older is looked at.
    fn newest(&self) -> Generation {
        let fetching = self.fetch.as_ref().map(|f| f.desired.generation);
        let accepting = self.accepting.map(|a| a.generation);
        [Some(self.generation()), fetching, accepting].into_iter().flatten().max().unwrap_or_default()
    }

    fn refuse(
        &mut self,
        digest: Digest,
        generation: Option<Generation>,
        reason: &str,
        now: Timestamp,
        out: &mut Outputs,
    ) {
        let reason: String = reason.chars().take(500).collect();
        self.refused = Some(digest);
        self.reports.set_refusal(Some(&reason));
        self.reports.event(warning(now, "DesiredRefused", &reason));
        self.reports.want(now.plus(self.config.coalesce));
        out.push(AgentOutput::Refused { reason, generation });
    }

    pub(super) fn refuse_fetch(&mut self, reason: &str, now: Timestamp, out: &mut Outputs) {
        if let Some(fetch) = self.fetch.take() {
            self.refuse(fetch.digest, Some(fetch.desired.generation), reason, now, out);
        }
    }

    fn on_blob(&mut self, digest: &Digest, message: &Message, now: Timestamp, out: &mut Outputs) {
        let (Some(fetch), Ok(reply)) = (&mut self.fetch, message.body::<BlobReply>()) else {
            self.malformed += 1;
            return;
        };
        match fetch.on_reply(digest, &reply, now) {
            Ok(Came::Keep(bytes)) => out.push(AgentOutput::KeepBlob { digest: *digest, bytes }),
            Ok(Came::Refused(reason)) => {
                self.reports.event(warning(now, "BlobRefused", &format!("{digest}: {reason}")));
                self.reports.want(now.plus(self.config.coalesce));
            }
            Ok(Came::Wrong) => {
                self.malformed += 1;
                self.reports.event(warning(
                    now,
                    "BlobWrong",
                    &format!("what came as {digest} is something else"),
                ));
                self.reports.want(now.plus(self.config.coalesce));
            }
            Ok(Came::Unwanted) => {}
            Err(reason) => self.refuse_fetch(&reason, now, out),
        }
    }

    fn on_command(&mut self, id: &CommandId, message: &Message, now: Timestamp, out: &mut Outputs) {
        let answer = |node: &_, state: &CommandState| {
            AgentOutput::Publish(Message::new(Topic::CommandState(Clone::clone(node), id.clone()), state))
        };
        let plain = |phase| CommandState { phase, message: String::new() };
        match self.commands.judge(id, message.body(), now) {
            Verdict::Answer(state) => out.push(answer(&self.config.node, &state)),
            Verdict::Sync => {
                out.push(answer(&self.config.node, &plain(CommandPhase::Accepted)));
                // Also the birth: the hub may have heard of a death that was none.
                out.push(AgentOutput::Publish(self.state(true)));
                self.reports.want_whole(now);
                self.flush(out);
                out.push(answer(&self.config.node, &plain(CommandPhase::Successful)));
            }
        }
    }

    fn on_stream(&mut self, id: &StreamId, message: &Message, out: &mut Outputs) {
        let id = id.clone();
        match message.body::<Down>() {
            Err(_) => self.malformed += 1,
            Ok(Down::Open(_)) if self.streams.contains(&id) => {}
            Ok(Down::Open(_)) if self.streams.len() >= MAX_STREAMS => {
                let error = Some(format!("node has {MAX_STREAMS} streams open, and takes no more"));
                let topic = Topic::StreamUp(self.config.node.clone(), id);
                out.push(AgentOutput::Publish(Message::new(topic, &Up::Close { error })));
            }
            Ok(Down::Open(request)) => {
                self.streams.insert(id.clone());
                let hello = Outgoing::hello(self.config.node.clone(), id.clone());
                out.push(AgentOutput::Publish(hello));
                out.push(AgentOutput::OpenStream { id, request });
            }
            Ok(Down::Credit(bytes)) if self.streams.contains(&id) => {
                out.push(AgentOutput::StreamCredit { id, bytes })
            }
            Ok(Down::Close) if self.streams.remove(&id) => out.push(AgentOutput::CloseStream { id }),
            Ok(Down::Credit(_) | Down::Close) => {}
        }
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
