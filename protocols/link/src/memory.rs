//! A broker in memory, for tests and simulations: routes, retains and fires wills as an MQTT broker does.
//!
//! It is deterministic, and its queues are open: a simulation drops, doubles and reorders what waits in them as its seed
//! says. [`MemoryLink`] puts the port of the shells on top.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::{Link, LinkError, LinkEvent, Message};

/// A client of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(usize);

#[derive(Debug, Default)]
struct Client {
    up: bool,
    filters: Vec<String>,
    will: Option<Message>,
    inbox: VecDeque<LinkEvent>,
    waker: Option<Waker>,
}

/// The broker.
#[derive(Debug, Default)]
pub struct MemoryBroker {
    clients: Vec<Client>,
    retained: BTreeMap<String, Message>,
}

/// Whether a topic matches an MQTT filter with `+` and `#`.
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(want), Some(found)) if want == found => {}
            _ => return false,
        }
    }
}

impl MemoryBroker {
    /// A client that is not connected yet.
    pub fn client(&mut self, filters: &[String], will: Option<Message>) -> ClientId {
        self.clients.push(Client { filters: filters.to_vec(), will, ..Client::default() });
        ClientId(self.clients.len() - 1)
    }

    /// Connects a client: it is told so, and given what is retained for it. What waited before is lost.
    pub fn connect(&mut self, id: ClientId) {
        let retained: Vec<Message> = self.retained.values().cloned().collect();
        let Some(client) = self.clients.get_mut(id.0) else { return };
        client.up = true;
        client.inbox.clear();
        client.inbox.push_back(LinkEvent::Up);
        for message in retained {
            client.offer(&message);
        }
        client.wake();
    }

    /// Cuts a client off: it is told so, and its will is done.
    pub fn cut(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id.0).filter(|c| c.up) else { return };
        client.up = false;
        client.inbox.clear();
        client.inbox.push_back(LinkEvent::Down { reason: "cut".into() });
        client.wake();
        if let Some(will) = client.will.clone() {
            self.route(&will);
        }
    }

    /// Publishes for a client; false where it is not connected.
    pub fn publish(&mut self, id: ClientId, message: &Message) -> bool {
        if !self.is_up(id) {
            return false;
        }
        self.route(message);
        true
    }

    /// Whether a client is connected.
    pub fn is_up(&self, id: ClientId) -> bool {
        self.clients.get(id.0).is_some_and(|c| c.up)
    }

    /// The next event of a client.
    pub fn pop(&mut self, id: ClientId) -> Option<LinkEvent> {
        self.inbox(id).and_then(VecDeque::pop_front)
    }

    /// What waits for a client, to be disturbed.
    pub fn inbox(&mut self, id: ClientId) -> Option<&mut VecDeque<LinkEvent>> {
        self.clients.get_mut(id.0).map(|c| &mut c.inbox)
    }

    /// Forgets all retained messages, as a broker without a disk does when it starts anew.
    pub fn forget_retained(&mut self) {
        self.retained.clear();
    }

    fn route(&mut self, message: &Message) {
        if message.is_retained() {
            self.retained.insert(message.topic.to_string(), message.clone());
        }
        for client in &mut self.clients {
            client.offer(message);
            client.wake();
        }
    }
}

impl Client {
    fn offer(&mut self, message: &Message) {
        let topic = message.topic.to_string();
        if self.up && self.filters.iter().any(|filter| filter_matches(filter, &topic)) {
            self.inbox.push_back(LinkEvent::Message(message.clone()));
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A client's link to a broker that several share.
#[derive(Debug, Clone)]
pub struct MemoryLink {
    broker: Arc<Mutex<MemoryBroker>>,
    id: ClientId,
}

impl MemoryLink {
    /// The link of this client.
    pub fn new(broker: Arc<Mutex<MemoryBroker>>, id: ClientId) -> Self {
        Self { broker, id }
    }

    fn broker(&self) -> MutexGuard<'_, MemoryBroker> {
        // Nothing in the broker is left half done by a panic.
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for MemoryLink {
    async fn publish(&self, message: Message) -> Result<(), LinkError> {
        if self.broker().publish(self.id, &message) { Ok(()) } else { Err(LinkError::Down) }
    }

    async fn next(&mut self) -> LinkEvent {
        std::future::poll_fn(|context| {
            let mut broker = self.broker();
            match broker.clients.get_mut(self.id.0) {
                Some(client) => match client.inbox.pop_front() {
                    Some(event) => Poll::Ready(event),
                    None => {
                        client.waker = Some(context.waker().clone());
                        Poll::Pending
                    }
                },
                None => Poll::Ready(LinkEvent::Down { reason: "no such client".into() }),
            }
        })
        .await
    }
}
