//! Messages on their way to the link, so that whoever listens to the link never waits for it.
//!
//! A task that both listens and sends could wait for ever: the link does not take more before somebody takes what it
//! brought. So the listener drops what finds no room; nodes ask again, and what they do not ask for is sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gannet_protocols_link::Message;
use gannet_protocols_mqtt::MqttPublisher;
use tokio::sync::mpsc;

use crate::metrics::Traffic;

/// Messages that may wait: a small one for each node of a large fleet.
const MAX_MESSAGES: usize = 16_384;
/// Their payloads' bytes.
const MAX_BYTES: usize = 64 << 20;

/// The way out.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
    traffic: Arc<Traffic>,
}

/// The other end, for the task that sends.
#[derive(Debug)]
pub(crate) struct OutboxTask {
    queue: mpsc::Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    traffic: Arc<Traffic>,
    publisher: MqttPublisher,
}

impl Outbox {
    pub(crate) fn new(publisher: MqttPublisher, traffic: Arc<Traffic>) -> (Self, OutboxTask) {
        let (sender, receiver) = mpsc::channel(MAX_MESSAGES);
        let waiting = Arc::new(AtomicUsize::new(0));
        let task = OutboxTask {
            queue: receiver,
            waiting: Arc::clone(&waiting),
            traffic: Arc::clone(&traffic),
            publisher,
        };
        (Self { queue: sender, waiting, traffic }, task)
    }

    /// Sends without waiting; drops what finds no room.
    pub(crate) fn offer(&self, message: Message) {
        let size = message.payload.len();
        let full = self.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_BYTES;
        if full || self.queue.try_send(message).is_err() {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            self.traffic.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends, and waits for room: not for the task that listens.
    pub(crate) async fn send(&self, message: Message) {
        let size = message.payload.len();
        self.waiting.fetch_add(size, Ordering::Relaxed);
        if self.queue.send(message).await.is_err() {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
        }
    }

    /// Waits until there is room for at least one message more.
    pub(crate) async fn room(&self) {
        let _ = self.queue.reserve().await;
    }
}

impl OutboxTask {
    /// Runs until all senders are gone.
    pub(crate) async fn run(mut self) {
        while let Some(message) = self.queue.recv().await {
            let size = message.payload.len();
            let topic = message.topic.clone();
            match self.publisher.publish(message).await {
                Ok(()) => self.traffic.bytes_out.fetch_add(size as u64, Ordering::Relaxed),
                Err(error) => {
                    tracing::debug!(mqtt.topic = %topic, %error, "message was dropped");
                    self.traffic.dropped.fetch_add(1, Ordering::Relaxed)
                }
            };
            self.waiting.fetch_sub(size, Ordering::Relaxed);
        }
    }
}
