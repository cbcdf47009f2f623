//! The task that drives a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gannet_protocols_link::{LinkEvent, Message};
use gannet_protocols_wire::{MAX_MESSAGE_BYTES, Topic};
use rumqttc::{
    Event, EventLoop, Incoming, Outgoing, Publish, QoS, Request, SubAck, Subscribe, SubscribeFilter,
    SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::MqttConfig;
use crate::backoff::Backoff;

/// What ends a connection.
enum End {
    /// It broke, or was refused.
    Lost(String),
    /// The owner took leave, or is gone.
    Closed,
}

/// The connection's driver.
pub(crate) struct Task {
    eventloop: EventLoop,
    config: MqttConfig,
    events: mpsc::Sender<LinkEvent>,
    up: Arc<AtomicBool>,
    /// Publishes that the last connection took and the broker did not acknowledge.
    unacknowledged: Vec<Request>,
    since: Option<Instant>,
    told_down: bool,
}

impl Task {
    pub(crate) fn new(
        eventloop: EventLoop,
        config: MqttConfig,
        events: mpsc::Sender<LinkEvent>,
        up: Arc<AtomicBool>,
    ) -> Self {
        Self { eventloop, config, events, up, unacknowledged: Vec::new(), since: None, told_down: false }
    }

    /// Runs until the owner is gone.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let end = self.connection().await;
            self.up.store(false, Ordering::Release);
            let lived = self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            let End::Lost(reason) = end else { return };
            self.recover();
            let pause = backoff.pause(lived, getrandom::u64().unwrap_or(u64::MAX / 2));
            tracing::debug!(mqtt.url = %self.config.url, reason, pause_ms = pause.as_millis(), "mqtt link is down");
            // Said once for each time that it goes down, and for the first attempt: not for every attempt.
            if !std::mem::replace(&mut self.told_down, true) && !self.tell(LinkEvent::Down { reason }).await {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One connection, from the attempt to its end.
    async fn connection(&mut self) -> End {
        // Pings make something happen in every keep-alive, so longer silence means that a write hangs.
        let patience = self.config.keep_alive * 2 + Duration::from_secs(15);
        loop {
            let event = match timeout(patience, self.eventloop.poll()).await {
                Ok(Ok(event)) => event,
                Ok(Err(error)) => return End::Lost(error.to_string()),
                Err(_) => return End::Lost(format!("nothing moved for {} s", patience.as_secs())),
            };
            match event {
                Event::Incoming(Incoming::ConnAck(_)) => {
                    self.connected();
                    // Otherwise the answer to the subscription makes it "up".
                    if self.config.subscriptions.is_empty() && !self.rise().await {
                        return End::Closed;
                    }
                }
                Event::Incoming(Incoming::SubAck(ack)) => {
                    if let Some(filter) = self.refused(&ack) {
                        return End::Lost(format!("broker refuses the subscription {filter}"));
                    }
                    if !self.rise().await {
                        return End::Closed;
                    }
                }
                Event::Incoming(Incoming::Publish(publish)) => {
                    let told = self.rise().await && self.tell(read(publish)).await;
                    if !told {
                        return End::Closed;
                    }
                }
                Event::Outgoing(Outgoing::Disconnect) => return End::Closed,
                _ => {}
            }
        }
    }

    fn connected(&mut self) {
        self.since = Some(Instant::now());
        let again = std::mem::take(&mut self.unacknowledged);
        self.eventloop.pending.extend(again);
        let filters = self.config.subscriptions.iter();
        let filters = filters.map(|path| SubscribeFilter { path: path.clone(), qos: QoS::AtLeastOnce });
        let subscribe = Subscribe::new_many(filters);
        if !subscribe.filters.is_empty() {
            self.eventloop.pending.push_front(Request::Subscribe(subscribe));
        }
    }

    fn refused(&self, ack: &SubAck) -> Option<&str> {
        let at = ack.return_codes.iter().position(|code| matches!(code, SubscribeReasonCode::Failure))?;
        Some(self.config.subscriptions.get(at).map_or("", String::as_str))
    }

    /// Says that the link is up, once for each connection. False where nobody listens any more.
    async fn rise(&mut self) -> bool {
        if self.up.swap(true, Ordering::AcqRel) {
            return true;
        }
        self.told_down = false;
        self.tell(LinkEvent::Up).await
    }

    async fn tell(&mut self, event: LinkEvent) -> bool {
        self.events.send(event).await.is_ok()
    }

    /// Keeps what the broker has not acknowledged. Beats and subscriptions are of no use later.
    fn recover(&mut self) {
        self.eventloop.clean();
        let pending = std::mem::take(&mut self.eventloop.pending);
        self.unacknowledged.extend(pending.into_iter().filter_map(|request| match request {
            Request::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                Some(Request::Publish(Publish { pkid: 0, ..publish }))
            }
            _ => None,
        }));
    }
}

/// A publish as an event; what nobody understands becomes a note without its bytes.
fn read(publish: Publish) -> LinkEvent {
    match publish.topic.parse::<Topic>() {
        Ok(topic) if publish.payload.len() <= MAX_MESSAGE_BYTES => {
            LinkEvent::Message(Message { topic, payload: publish.payload.to_vec() })
        }
        _ => LinkEvent::Malformed { topic: publish.topic.chars().take(200).collect() },
    }
}
