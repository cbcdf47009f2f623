//! The task that listens: to the link, to the handle, and to the clock.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use gannet_protocols_link::{Fact, HubOutput, HubSessions, Link, LinkEvent, Message};
use gannet_protocols_model::{Generation, NodeName};
use gannet_protocols_mqtt::MqttLink;
use gannet_protocols_wire::Topic;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gateway::DesiredSource;
use crate::metrics::{GatewayMetrics, Traffic};
use crate::outbox::Outbox;
use crate::streams::Streams;

/// What the handle wants.
#[derive(Debug)]
pub(crate) enum Command {
    Desired { node: NodeName, generation: Generation, envelope: Arc<[u8]> },
    Forget { node: NodeName },
    Metrics { reply: oneshot::Sender<GatewayMetrics> },
}

/// Everything that the task holds.
pub(crate) struct Task {
    pub(crate) sessions: HubSessions,
    pub(crate) link: MqttLink,
    pub(crate) source: Box<dyn DesiredSource>,
    pub(crate) outbox: Outbox,
    pub(crate) streams: Streams,
    pub(crate) connected: Arc<RwLock<BTreeSet<NodeName>>>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) facts: mpsc::Sender<Fact>,
    pub(crate) traffic: Arc<Traffic>,
}

impl Task {
    /// Runs until it is stopped, or nobody wants facts any more.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let clock = Clock::start();
        let outbox = self.outbox.clone();
        let stopped = stop.cancelled_owned();
        tokio::pin!(stopped);
        loop {
            let wake = self.sessions.next_wake().map(|at| clock.instant(at));
            let tick = async move {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // Commands wait for room, so that a rollout to a whole fleet is slowed down and not dropped.
            let command = async {
                outbox.room().await;
                self.commands.recv().await
            };
            let outputs = tokio::select! {
                () = &mut stopped => break,
                event = self.link.next() => self.on_event(event, clock),
                Some(command) = command => self.on_command(command, clock),
                () = tick => self.sessions.on_tick(clock.now()),
            };
            let told = tokio::select! {
                () = &mut stopped => break,
                told = self.carry_out(outputs) => told,
            };
            if !told {
                break;
            }
        }
        self.streams.lose(None);
        // Straight to the link: the task that empties the outbox stops too.
        let _ = self.link.publish(self.sessions.last_will()).await;
        self.link.close().await;
    }

    fn on_event(&mut self, event: LinkEvent, clock: Clock) -> Vec<HubOutput> {
        match event {
            LinkEvent::Up => {
                tracing::info!("device plane is up");
                self.sessions.on_link_up(clock.now())
            }
            LinkEvent::Down { reason } => {
                tracing::warn!(reason, "device plane is down");
                self.sessions.on_link_down();
                self.streams.lose(None);
                Vec::new()
            }
            LinkEvent::Malformed { topic } => {
                tracing::debug!(mqtt.topic = topic, "message was dropped: nobody speaks its topic or size");
                self.sessions.on_malformed("unknown");
                Vec::new()
            }
            LinkEvent::Message(message) => self.on_message(&message, clock),
        }
    }

    fn on_message(&mut self, message: &Message, clock: Clock) -> Vec<HubOutput> {
        self.traffic.bytes_in.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
        if let Topic::StreamUp(node, id) = &message.topic {
            if !self.streams.frame(node, id, message, &self.outbox) {
                self.sessions.on_malformed("stream-up");
            }
            return Vec::new();
        }
        let source = &self.source;
        self.sessions.on_message(message, clock.now(), |node, digest| source.blob(node, digest))
    }

    fn on_command(&mut self, command: Command, clock: Clock) -> Vec<HubOutput> {
        match command {
            Command::Desired { node, generation, envelope } => {
                self.sessions.set_desired(&node, generation, envelope, clock.now())
            }
            Command::Forget { node } => {
                self.connected.write().unwrap_or_else(PoisonError::into_inner).remove(&node);
                self.streams.lose(Some(&node));
                self.sessions.forget(&node)
            }
            Command::Metrics { reply } => {
                let (nodes, streams) = (self.sessions.connected(), self.streams.count());
                // Who asked may have gone.
                let _ =
                    reply.send(GatewayMetrics::new(&self.traffic, nodes, streams, self.sessions.counters()));
                Vec::new()
            }
        }
    }

    async fn carry_out(&mut self, outputs: Vec<HubOutput>) -> bool {
        for output in outputs {
            match output {
                HubOutput::Publish(message) => self.outbox.offer(message),
                HubOutput::Fact(fact) => {
                    self.note(&fact);
                    if self.facts.send(fact).await.is_err() {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn note(&self, fact: &Fact) {
        let connected = || self.connected.write().unwrap_or_else(PoisonError::into_inner);
        match fact {
            Fact::NodeUp { node, session } => {
                tracing::info!(node.name = %node, node.session = %session, "node is up");
                connected().insert(node.clone());
            }
            Fact::NodeDown { node, session, why } => {
                tracing::info!(node.name = %node, node.session = %session, ?why, "node is down");
                connected().remove(node);
                self.streams.lose(Some(node));
            }
            Fact::Report { .. } | Fact::Generation { .. } | Fact::Inventory { .. } | Fact::Command { .. } => {
            }
        }
    }
}
