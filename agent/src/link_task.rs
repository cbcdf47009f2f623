//! The conversation with the hub: the session decides, this sends, writes the ledger and runs the streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_agent_core::{DesiredWorld, Fact};
use gannet_protocols_link::{AgentOutput, AgentSession, Link, LinkError, LinkEvent, Outgoing};
use gannet_protocols_model::{Desired, Network, NodeEvent, NodeInfo, NodeName};
use gannet_protocols_mqtt::{MqttLink, MqttPublisher};
use gannet_protocols_wire::{LogRequest, Open, StreamId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::executor::chain;
use crate::ledger::Ledger;
use crate::logs::{Source, Statuses, pump};
use crate::reconcile_task::Order;
use crate::usage::{FRESH, UsageSource};

/// Grants that a stream has not taken yet; the hub sends one for a quarter of a window.
const GRANTS: usize = 16;
/// Chunks of a log between the disk and the link.
const CHUNKS: usize = 2;

/// What the conversation needs.
pub(crate) struct LinkTask {
    pub(crate) node: NodeName,
    pub(crate) clock: Clock,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) session: AgentSession,
    pub(crate) link: MqttLink,
    pub(crate) statuses: watch::Receiver<Statuses>,
    pub(crate) info: watch::Receiver<NodeInfo>,
    pub(crate) events: mpsc::Receiver<NodeEvent>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) facts: mpsc::Sender<Fact>,
    pub(crate) logs: Source,
    pub(crate) usage: UsageSource,
}

/// A stream that is open.
struct Stream {
    grants: mpsc::Sender<u64>,
    stop: CancellationToken,
}

struct Streams {
    open: BTreeMap<StreamId, Stream>,
    tasks: JoinSet<StreamId>,
}

/// The world that a document means, with what the ledger holds. Waits for the disk.
pub(crate) fn world_of(ledger: &Ledger, desired: &Desired) -> (Arc<DesiredWorld>, Option<Arc<Network>>) {
    let mut manifests = BTreeMap::new();
    for pod in &desired.pods {
        manifests.entry(pod.manifest).or_insert_with(|| ledger.manifest(&pod.manifest));
    }
    let world = DesiredWorld::new(desired, |digest| manifests.get(&digest).cloned().flatten());
    let network = desired.network.and_then(|digest| Network::parse(&ledger.blob(&digest)?).ok());
    (Arc::new(world), network.map(Arc::new))
}

/// Whether the ledger has all that its document names.
pub(crate) fn is_whole(ledger: &Ledger, desired: &Desired) -> bool {
    let manifests = desired.pods.iter().map(|pod| ledger.manifest(&pod.manifest));
    let whole =
        manifests.into_iter().all(|m| m.is_some_and(|m| m.blobs().iter().all(|b| ledger.blob(b).is_some())));
    whole && desired.network.is_none_or(|digest| ledger.blob(&digest).is_some())
}

impl LinkTask {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut streams = Streams { open: BTreeMap::new(), tasks: JoinSet::new() };
        let first = self.observe(Vec::new());
        self.carry_out(first, &mut streams).await;
        loop {
            let wake = self.session.next_wake().map(|at| self.clock.instant_of(at));
            let outputs = tokio::select! {
                event = self.link.next() => self.on_link(event).await,
                changed = self.statuses.changed() => match changed {
                    Ok(()) => self.observe(Vec::new()),
                    Err(_) => return,
                },
                changed = self.info.changed() => match changed {
                    Ok(()) => self.observe(Vec::new()),
                    Err(_) => return,
                },
                Some(event) = self.events.recv() => {
                    let mut events = vec![event];
                    while let Ok(event) = self.events.try_recv() {
                        events.push(event);
                    }
                    self.observe(events)
                }
                Some(ended) = streams.tasks.join_next(), if !streams.tasks.is_empty() => {
                    if let Ok(id) = ended {
                        streams.open.remove(&id);
                        self.session.on_stream_ended(&id);
                    }
                    Vec::new()
                }
                () = sleep_until(wake) => self.session.on_tick(self.clock.now()),
                () = self.ledger.damaged() => self.fetch_again().await,
                () = stop.cancelled() => break,
            };
            self.carry_out(outputs, &mut streams).await;
        }
        streams.tasks.shutdown().await;
        // The hub learns at once that this is no failure.
        let _ = self.link.publish(self.session.farewell()).await;
        self.link.close().await;
    }

    fn observe(&mut self, events: Vec<NodeEvent>) -> Vec<AgentOutput> {
        let statuses = self.statuses.borrow_and_update().clone();
        let info = self.info.borrow_and_update().clone();
        let now = self.clock.now();
        let mut outputs = self.session.observe(&statuses, &info, events, now);
        outputs.extend(self.tell_absent(&statuses));
        outputs
    }

    /// Something of the ledger was damaged: if the document needs it, it is fetched again.
    async fn fetch_again(&mut self) -> Vec<AgentOutput> {
        let ledger = Arc::clone(&self.ledger);
        let lost = tokio::task::spawn_blocking(move || {
            let (desired, _) = ledger.desired().filter(|(desired, _)| !is_whole(&ledger, desired))?;
            Some(((*desired).clone(), ledger.envelope()?))
        });
        match lost.await {
            Ok(Some((desired, envelope))) => {
                info!(generation = %desired.generation, "what is missing of the desired document is fetched again");
                self.session.on_lost(desired, envelope, self.clock.now())
            }
            _ => Vec::new(),
        }
    }

    /// The hub waits to see some pods gone: also those that were never here.
    fn tell_absent(&mut self, statuses: &Statuses) -> Vec<AgentOutput> {
        let Some((desired, _)) = self.ledger.desired() else { return Vec::new() };
        let ending = desired.pods.iter().filter(|pod| pod.stop_within_seconds.is_some()).map(|pod| &pod.uid);
        let absent = ending.filter(|uid| !statuses.contains_key(*uid)).cloned().collect();
        self.session.set_absent(absent, self.clock.now())
    }

    async fn on_link(&mut self, event: LinkEvent) -> Vec<AgentOutput> {
        match &event {
            LinkEvent::Up => {
                info!("link up");
                let _ = self.facts.send(Fact::LinkUp).await;
            }
            LinkEvent::Down { reason } => info!(reason, "link down"),
            LinkEvent::Message(message) => {
                debug!(topic = %message.topic, size = message.payload.len(), "message")
            }
            LinkEvent::Malformed { topic } => warn!(topic, "malformed message dropped"),
        }
        self.session.on_link(event, self.clock.now())
    }

    /// Does what the session asks, in order. What an answer to the session leads to comes before the rest.
    async fn carry_out(&mut self, outputs: Vec<AgentOutput>, streams: &mut Streams) {
        let mut lists = vec![outputs.into_iter()];
        while let Some(list) = lists.last_mut() {
            let Some(output) = list.next() else {
                lists.pop();
                continue;
            };
            match self.one(output, streams).await {
                Ok(more) => lists.push(more.into_iter()),
                Err(more) => {
                    // The ledger failed: the rest of that list has no ground any more.
                    lists.pop();
                    lists.push(more.into_iter());
                }
            }
        }
    }

    /// One output. `Err` where the outputs after it must be left out.
    async fn one(
        &mut self,
        output: AgentOutput,
        streams: &mut Streams,
    ) -> Result<Vec<AgentOutput>, Vec<AgentOutput>> {
        match output {
            AgentOutput::Publish(message) => {
                let topic = message.topic.clone();
                match self.link.publish(message).await {
                    // Down: reports are compared anew when it is up again.
                    Ok(()) | Err(LinkError::Down) => {}
                    Err(error) => warn!(%topic, %error, "message not sent"),
                }
                Ok(Vec::new())
            }
            AgentOutput::LookUp { digest } => {
                let ledger = Arc::clone(&self.ledger);
                let bytes =
                    tokio::task::spawn_blocking(move || ledger.blob(&digest)).await.unwrap_or_default();
                Ok(self.session.on_look_up(&digest, bytes.as_deref(), self.clock.now()))
            }
            AgentOutput::KeepBlob { digest, bytes } => {
                let kept = self.with_ledger(move |ledger| ledger.keep_blob(&digest, &bytes)).await;
                self.ledger_answer(kept).map(|()| Vec::new())
            }
            AgentOutput::Accept { desired, envelope } => self.accept(desired, envelope).await,
            AgentOutput::Refused { reason, generation } => {
                warn!(reason, ?generation, "desired document refused");
                Ok(Vec::new())
            }
            AgentOutput::OpenStream { id, request } => {
                self.open_stream(id, request, streams);
                Ok(Vec::new())
            }
            AgentOutput::StreamCredit { id, bytes } => {
                // A full queue means that the hub grants without having consumed: those bytes are lost to it alone.
                let _ = streams.open.get(&id).map(|stream| stream.grants.try_send(bytes));
                Ok(Vec::new())
            }
            AgentOutput::CloseStream { id } => {
                if let Some(stream) = streams.open.remove(&id) {
                    stream.stop.cancel();
                }
                Ok(Vec::new())
            }
        }
    }

    async fn with_ledger<T: Send + 'static, E: std::error::Error + Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, E> + Send + 'static,
    ) -> Result<T, String> {
        let ledger = Arc::clone(&self.ledger);
        match tokio::task::spawn_blocking(move || work(&ledger)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ledger_answer<T>(&mut self, result: Result<T, String>) -> Result<T, Vec<AgentOutput>> {
        result.map_err(|reason| {
            warn!(reason, "ledger not written");
            self.session.on_ledger_failed(&reason, self.clock.now())
        })
    }

    async fn accept(
        &mut self,
        desired: Desired,
        envelope: Vec<u8>,
    ) -> Result<Vec<AgentOutput>, Vec<AgentOutput>> {
        let generation = desired.generation;
        let now = self.clock.now();
        let accepted = self.with_ledger(move |ledger| {
            let desired = ledger.accept(desired, &envelope)?;
            // Neither is worth refusing the document for.
            if let Err(error) = ledger.numbers.raise_time(now).and(ledger.collect_garbage().map(drop)) {
                warn!(error = chain(&error), "ledger not tidied");
            }
            Ok::<_, crate::ledger::LedgerError>(world_of(ledger, &desired))
        });
        let accepted = accepted.await;
        let (world, network) = self.ledger_answer(accepted)?;
        // The loop lives as long as the agent.
        let _ = self.orders.send(Order::Desired(world, network)).await;
        let mut outputs = self.session.on_ledger(generation, self.clock.now());
        let statuses = self.statuses.borrow().clone();
        outputs.extend(self.tell_absent(&statuses));
        Ok(outputs)
    }

    fn open_stream(&self, id: StreamId, open: Open, streams: &mut Streams) {
        info!(stream = %id, ?open, "stream");
        let (grants, granted) = mpsc::channel(GRANTS);
        let stop = CancellationToken::new();
        let sender = Sender {
            outgoing: Outgoing::new(self.node.clone(), id.clone()),
            publisher: self.link.publisher(),
            granted,
        };
        let (source, usage) = (self.logs.clone(), self.usage.clone());
        let (stopped, own) = (stop.clone(), id.clone());
        streams.tasks.spawn(async move {
            tokio::select! {
                () = sender.run(source, usage, open) => {}
                () = stopped.cancelled() => {}
            }
            own
        });
        streams.open.insert(id, Stream { grants, stop });
    }
}

/// One stream's data on its way to the hub.
struct Sender {
    outgoing: Outgoing,
    publisher: MqttPublisher,
    granted: mpsc::Receiver<u64>,
}

impl Sender {
    async fn run(self, source: Source, usage: UsageSource, open: Open) {
        match open {
            Open::Logs(request) => self.logs(source, request).await,
            Open::Usage => self.usage(usage).await,
        }
    }

    /// What the node uses, as one JSON document.
    async fn usage(mut self, source: UsageSource) {
        let answer = source.latest(FRESH).await.map_err(|error| chain(&error));
        let answer = answer.and_then(|usage| serde_json::to_vec(&*usage).map_err(|error| error.to_string()));
        let error = match answer {
            Ok(bytes) if self.send(&bytes).await.is_err() => return,
            answer => answer.err(),
        };
        let _ = self.publisher.publish(self.outgoing.close(error)).await;
    }

    async fn logs(mut self, source: Source, request: LogRequest) {
        let (to, mut from) = mpsc::channel(CHUNKS);
        let reading = pump(source, request, to);
        let sending = async {
            let mut error = None;
            while let Some(chunk) = from.recv().await {
                match chunk {
                    Ok(bytes) => {
                        if self.send(&bytes).await.is_err() {
                            return;
                        }
                    }
                    Err(why) => error = Some(chain(&why)),
                }
            }
            let _ = self.publisher.publish(self.outgoing.close(error)).await;
        };
        tokio::join!(reading, sending);
    }

    /// Sends all of it, as fast as the hub grants.
    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            while let Ok(more) = self.granted.try_recv() {
                self.outgoing.grant(more);
            }
            match self.outgoing.frame(bytes) {
                Some((message, sent)) => {
                    self.publisher.publish(message).await?;
                    bytes = &bytes[sent..];
                }
                None => match self.granted.recv().await {
                    Some(more) => self.outgoing.grant(more),
                    None => return Err(LinkError::Stopped),
                },
            }
        }
        Ok(())
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
