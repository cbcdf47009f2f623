//! A message, the events of a link, and the port that shells fill.

use std::future::Future;

use gannet_protocols_wire::{MAX_MESSAGE_BYTES, Topic, WireError, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One message. How it is delivered and whether the broker keeps it follow from its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub topic: Topic,
    /// What: JSON of at most [`MAX_MESSAGE_BYTES`].
    pub payload: Vec<u8>,
}

/// What a link tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Connected and subscribed: retained messages follow.
    Up,
    /// Not connected any more; the link connects again by itself.
    Down {
        /// Why, for a log line.
        reason: String,
    },
    /// A message came.
    Message(Message),
    /// A message came on a topic, or of a size, that nobody speaks; it was dropped.
    Malformed {
        /// The topic, cut to 200 characters.
        topic: String,
    },
}

/// Why a message was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not connected.
    #[error("link is down")]
    Down,
    /// The queue stayed full: the other side does not take messages.
    #[error("link is busy: its queue of {bound} messages is full")]
    Busy {
        /// The queue's bound.
        bound: usize,
    },
    /// Larger than the other side reads.
    #[error("message has {size} bytes, more than {MAX_MESSAGE_BYTES}")]
    Size {
        /// Its size in bytes.
        size: usize,
    },
    /// The link was stopped.
    #[error("link is stopped")]
    Stopped,
}

/// A connection to a broker that restores itself.
pub trait Link {
    /// Hands a message over for delivery. `Ok` means queued: for all but beats it is sent at least once while the link lives.
    fn publish(&self, message: Message) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Waits for what happens next. Safe to drop while it waits.
    fn next(&mut self) -> impl Future<Output = LinkEvent> + Send;
}

impl Message {
    /// A message with this body.
    pub fn new<T: Serialize>(topic: Topic, body: &T) -> Self {
        Self { topic, payload: encode(body) }
    }

    /// Reads the body, within its bound.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, WireError> {
        decode(&self.payload)
    }

    /// Whether it is sent until the broker has it (QoS 1). A lost beat is made good by the next.
    pub fn is_at_least_once(&self) -> bool {
        !matches!(self.topic, Topic::Beat(_))
    }

    /// Whether the broker keeps it for who subscribes later.
    pub fn is_retained(&self) -> bool {
        self.topic.is_retained()
    }
}
