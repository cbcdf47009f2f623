//! The streams that are open: who waits for which frames.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use gannet_protocols_link::{Incoming, Message};
use gannet_protocols_model::NodeName;
use gannet_protocols_wire::{Down, StreamId, Topic, Up};
use tokio::sync::Notify;

use crate::outbox::Outbox;
use crate::reader::StreamError;

/// All open streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    open: Arc<Mutex<BTreeMap<StreamId, Arc<Pipe>>>>,
}

/// One stream, between the task that listens to the link and the one that reads.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) node: NodeName,
    pub(crate) id: StreamId,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    incoming: Incoming,
    /// At most a window of bytes, since the node may not send more.
    buffer: BytesMut,
    answered: bool,
    end: Option<Result<(), StreamError>>,
}

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Found {
    /// These bytes, and perhaps a grant to send to the node.
    Bytes(Bytes, Option<Message>),
    /// Nothing yet.
    Nothing,
    /// The end.
    End(Result<(), StreamError>),
}

impl Streams {
    pub(crate) fn open(&self, node: NodeName, id: StreamId) -> Arc<Pipe> {
        let state = State { incoming: Incoming::new(), buffer: BytesMut::new(), answered: false, end: None };
        let pipe = Arc::new(Pipe { node, id, state: Mutex::new(state), changed: Notify::new() });
        lock(&self.open).insert(pipe.id.clone(), Arc::clone(&pipe));
        pipe
    }

    pub(crate) fn close(&self, id: &StreamId) {
        lock(&self.open).remove(id);
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.open).len()
    }

    /// A frame came from a node. False where it does not parse.
    pub(crate) fn frame(&self, node: &NodeName, id: &StreamId, message: &Message, outbox: &Outbox) -> bool {
        let Ok(frame) = message.body::<Up>() else { return false };
        let pipe = lock(&self.open).get(id).filter(|pipe| pipe.node == *node).cloned();
        match (pipe, frame) {
            (Some(pipe), frame) => pipe.take(frame),
            // A reader that went away told the node so, but that may have been lost.
            (None, Up::Data { .. }) => outbox.offer(down(node, id, &Down::Close)),
            (None, Up::Close { .. }) => {}
        }
        true
    }

    /// The node is gone; or, with `None`, the link.
    pub(crate) fn lose(&self, node: Option<&NodeName>) {
        for pipe in lock(&self.open).values().filter(|pipe| node.is_none_or(|n| *n == pipe.node)) {
            pipe.end(Err(StreamError::Lost { node: pipe.node.clone() }));
        }
    }
}

impl Pipe {
    fn take(&self, frame: Up) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        state.answered = true;
        match frame {
            Up::Data { seq, data } => match state.incoming.data(seq, &data) {
                Ok(None) => {}
                Ok(Some(bytes)) => state.buffer.extend_from_slice(&bytes),
                Err(fault) => state.end = Some(Err(StreamError::Fault { node: self.node.clone(), fault })),
            },
            Up::Close { error: None } => state.end = Some(Ok(())),
            Up::Close { error: Some(reason) } => {
                let reason = reason.chars().take(1000).collect();
                state.end = Some(Err(StreamError::Refused { node: self.node.clone(), reason }));
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    fn end(&self, end: Result<(), StreamError>) {
        lock(&self.state).end.get_or_insert(end);
        self.changed.notify_one();
    }

    /// Takes what is there: first all bytes, then the end.
    pub(crate) fn read(&self) -> Found {
        let mut state = lock(&self.state);
        if state.buffer.is_empty() {
            return state.end.clone().map_or(Found::Nothing, Found::End);
        }
        let bytes = state.buffer.split().freeze();
        let grant = state.incoming.consumed(bytes.len() as u64);
        Found::Bytes(bytes, grant.map(|grant| down(&self.node, &self.id, &grant)))
    }

    /// Whether the node has said anything, and whether there is something to read.
    pub(crate) fn progress(&self) -> (bool, bool) {
        let state = lock(&self.state);
        (state.answered || state.end.is_some(), !state.buffer.is_empty() || state.end.is_some())
    }

    /// The error that came instead of any bytes.
    pub(crate) fn early_error(&self) -> Option<StreamError> {
        let state = lock(&self.state);
        let error = state.end.clone().and_then(Result::err);
        error.filter(|_| state.buffer.is_empty())
    }

    /// Waits for the next change. One that came since the last wait is not missed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// A message to the node about a stream.
pub(crate) fn down(node: &NodeName, id: &StreamId, body: &Down) -> Message {
    Message::new(Topic::StreamDown(node.clone(), id.clone()), body)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
