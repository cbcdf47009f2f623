//! The handle of the device plane.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::Stream;
use gannet_protocols_link::{Fact, HubConfig, HubSessions};
use gannet_protocols_model::{Digest, Generation, NodeName, NodeUsage};
use gannet_protocols_mqtt::{MqttConfig, MqttLink};
use gannet_protocols_wire::{LogRequest, Open, Topic};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::HUB_CLIENT_ID;
use crate::log_stream;
use crate::metrics::{GatewayMetrics, Traffic};
use crate::outbox::Outbox;
use crate::reader::{Reader, StreamError};
use crate::streams::Streams;
use crate::task::{Command, Task};
use crate::usage::{self, UsageError};

/// Facts that may wait for the hub. More than a burst of a fleet's reports between two of its writes; beyond, the broker
/// holds them back.
const MAX_FACTS: usize = 1024;
/// Commands that may wait for the gateway: who sends more waits.
const MAX_COMMANDS: usize = 64;

/// Where blobs come from. Asked in the gateway's task, so it answers from memory.
pub trait DesiredSource: Send + Sync + 'static {
    /// The blob, where this node's desired document closes over it; nothing for the blobs of other nodes.
    fn blob(&self, node: &NodeName, digest: &Digest) -> Option<Arc<[u8]>>;
}

/// The gateway's configuration.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// The sessions' rhythm, and the hub's epoch.
    pub hub: HubConfig,
}

impl GatewayConfig {
    /// The usual rhythm. The epoch must grow with every start of the hub.
    pub fn new(epoch: u64) -> Self {
        Self { hub: HubConfig::new(epoch) }
    }

    /// How the hub connects to a broker, embedded or not: its client id, will and subscriptions.
    pub fn link(&self, url: impl Into<String>, tls: Option<Arc<rustls::ClientConfig>>) -> MqttConfig {
        MqttConfig {
            tls,
            will: Some(HubSessions::new(self.hub.clone()).last_will()),
            subscriptions: Topic::hub_subscriptions().to_vec(),
            // A hub hears all of its fleet.
            queue: 1024,
            ..MqttConfig::new(url, HUB_CLIENT_ID)
        }
    }
}

/// The gateway was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopped")]
pub struct GatewayStopped;

/// A handle to the running gateway. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Gateway {
    commands: mpsc::Sender<Command>,
    outbox: Outbox,
    streams: Streams,
    connected: Arc<RwLock<BTreeSet<NodeName>>>,
}

/// The gateway's tasks. Dropping them stops the gateway, as a crash would.
#[derive(Debug)]
pub struct GatewayTasks {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Starts over a link made with [`GatewayConfig::link`]. The facts are to be taken promptly, and without waiting for
    /// [`Gateway::publish_desired`] in the same task.
    pub fn start(
        config: GatewayConfig,
        link: MqttLink,
        source: impl DesiredSource,
    ) -> (Self, mpsc::Receiver<Fact>, GatewayTasks) {
        let traffic = Arc::new(Traffic::default());
        let (outbox, sending) = Outbox::new(link.publisher(), Arc::clone(&traffic));
        let (facts_in, facts) = mpsc::channel(MAX_FACTS);
        let (commands, commands_out) = mpsc::channel(MAX_COMMANDS);
        let gateway =
            Self { commands, outbox, streams: Streams::default(), connected: Arc::new(RwLock::default()) };
        let stop = CancellationToken::new();
        let task = Task {
            sessions: HubSessions::new(config.hub),
            link,
            source: Box::new(source),
            outbox: gateway.outbox.clone(),
            streams: gateway.streams.clone(),
            connected: Arc::clone(&gateway.connected),
            commands: commands_out,
            facts: facts_in,
            traffic,
        };
        let stopped = stop.clone();
        let sending_stopped = stop.child_token();
        let tasks = vec![
            tokio::spawn(async move {
                sending_stopped.run_until_cancelled(sending.run()).await;
            }),
            tokio::spawn(task.run(stopped)),
        ];
        (gateway, facts, GatewayTasks { stop, tasks })
    }

    /// The node should work towards this signed document. Retained by the broker, and sent again until the node follows.
    pub async fn publish_desired(
        &self,
        node: &NodeName,
        generation: Generation,
        envelope: Arc<[u8]>,
    ) -> Result<(), GatewayStopped> {
        self.tell(Command::Desired { node: node.clone(), generation, envelope }).await
    }

    /// The node was removed from the fleet.
    pub async fn forget(&self, node: &NodeName) -> Result<(), GatewayStopped> {
        self.tell(Command::Forget { node: node.clone() }).await
    }

    /// Whether the node is there.
    pub fn connected(&self, node: &NodeName) -> bool {
        self.connected.read().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    /// A container's log. Errors that the node knows at once come from here, later ones end the stream. Dropping the
    /// stream closes it.
    pub async fn logs(
        &self,
        node: &NodeName,
        request: LogRequest,
    ) -> Result<impl Stream<Item = Result<Bytes, StreamError>> + Send + use<>, StreamError> {
        log_stream::begin(self.open(node, Open::Logs(request)).await?).await
    }

    /// What the node and its pods use now. Takes seconds at the most.
    pub async fn usage(&self, node: &NodeName) -> Result<NodeUsage, UsageError> {
        usage::read(self.open(node, Open::Usage).await?).await
    }

    async fn open(&self, node: &NodeName, what: Open) -> Result<Reader, StreamError> {
        let absent = || StreamError::NotConnected { node: node.clone() };
        if !self.connected(node) {
            return Err(absent());
        }
        let word = match &what {
            Open::Logs(_) => "log",
            Open::Usage => "usage",
        };
        let drawn = getrandom::u64().map_err(|_| absent())?;
        let id = format!("{word}-{drawn:016x}").parse().map_err(|_| absent())?;
        let pipe = self.streams.open(node.clone(), id);
        Ok(Reader::open(self.streams.clone(), self.outbox.clone(), pipe, what).await)
    }

    /// What was counted.
    pub async fn metrics(&self) -> Result<GatewayMetrics, GatewayStopped> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Metrics { reply }).await?;
        answer.await.map_err(|_| GatewayStopped)
    }

    async fn tell(&self, command: Command) -> Result<(), GatewayStopped> {
        self.commands.send(command).await.map_err(|_| GatewayStopped)
    }
}

impl GatewayTasks {
    /// Tells the nodes that the hub goes, closes the link, and waits for the tasks.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..).rev() {
            let _ = task.await;
        }
    }
}

impl Drop for GatewayTasks {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
