//! The handle of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gannet_protocols_link::{Link, LinkError, LinkEvent, Message};
use gannet_protocols_wire::MAX_MESSAGE_BYTES;
use rumqttc::{AsyncClient, QoS};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::task::Task;
use crate::{MqttConfig, MqttConfigError};

/// How long a sender waits for room in the queue.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long leave-taking may last.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection to a broker that restores itself.
#[derive(Debug)]
pub struct MqttLink {
    publisher: MqttPublisher,
    events: mpsc::Receiver<LinkEvent>,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Sends over a link from other tasks than the one that listens.
#[derive(Debug, Clone)]
pub struct MqttPublisher {
    client: AsyncClient,
    up: Arc<AtomicBool>,
    bound: usize,
}

impl MqttLink {
    /// Starts to connect. Needs a tokio runtime; errors are those of the configuration alone.
    pub fn connect(config: MqttConfig) -> Result<Self, MqttConfigError> {
        let options = config.to_options()?;
        let bound = config.queue.max(1);
        let (client, mut eventloop) = AsyncClient::new(options, bound);
        let mut network = eventloop.network_options();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(10);
        eventloop.set_network_options(network);
        let (sender, events) = mpsc::channel(bound);
        let up = Arc::new(AtomicBool::new(false));
        let stop = CancellationToken::new();
        let task = Task::new(eventloop, config, sender, Arc::clone(&up));
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = task.run() => {}
                }
            }
        });
        Ok(Self { publisher: MqttPublisher { client, up, bound }, events, stop, task: Some(task) })
    }

    /// A handle to send with.
    pub fn publisher(&self) -> MqttPublisher {
        self.publisher.clone()
    }

    /// Sends what is queued, takes leave of the broker, so that the last will is not published, and stops.
    pub async fn close(mut self) {
        let Some(task) = self.task.take() else { return };
        let leave = async {
            if self.publisher.up.load(Ordering::Acquire) && self.publisher.client.disconnect().await.is_ok() {
                // What still comes must not keep the task from leaving.
                while self.events.recv().await.is_some() {}
            }
        };
        let _ = tokio::time::timeout(FAREWELL, leave).await;
        self.stop.cancel();
        let _ = task.await;
    }
}

impl Drop for MqttLink {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Link for MqttLink {
    async fn publish(&self, message: Message) -> Result<(), LinkError> {
        self.publisher.publish(message).await
    }

    async fn next(&mut self) -> LinkEvent {
        match self.events.recv().await {
            Some(event) => event,
            // The task lives as long as the handle; if it is gone, nothing will ever come.
            None => std::future::pending().await,
        }
    }
}

impl MqttPublisher {
    /// As [`Link::publish`]. `Ok` means queued; what the broker did not acknowledge is sent again with the next connection.
    pub async fn publish(&self, message: Message) -> Result<(), LinkError> {
        let size = message.payload.len();
        if size > MAX_MESSAGE_BYTES {
            return Err(LinkError::Size { size });
        }
        if !self.up.load(Ordering::Acquire) {
            return Err(LinkError::Down);
        }
        let quality = if message.is_at_least_once() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let sending =
            self.client.publish(message.topic.to_string(), quality, message.is_retained(), message.payload);
        match tokio::time::timeout(PATIENCE, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(LinkError::Stopped),
            Err(_) => Err(LinkError::Busy { bound: self.bound }),
        }
    }

    /// Whether the link is up now.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }
}
