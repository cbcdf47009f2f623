//! The two ends of a stream: the node may send what was granted, the hub checks order and grants anew.

use gannet_protocols_model::NodeName;
use gannet_protocols_wire::{Down, MAX_DATA_BYTES, StreamId, Topic, Up, WINDOW_BYTES};

use crate::Message;

/// The node's end. It starts with [`WINDOW_BYTES`] granted.
#[derive(Debug)]
pub struct Outgoing {
    node: NodeName,
    id: StreamId,
    sequence: u64,
    credit: u64,
}

impl Outgoing {
    /// The end of a stream that the hub has just opened, and that the session has already answered with frame 0.
    pub fn new(node: NodeName, id: StreamId) -> Self {
        Self { node, id, sequence: 1, credit: WINDOW_BYTES }
    }

    /// Frame 0, without data: the node has the stream open, though there may be nothing to say yet.
    pub(crate) fn hello(node: NodeName, id: StreamId) -> Message {
        Message::new(Topic::StreamUp(node, id), &Up::data(0, &[]))
    }

    /// How many bytes the next frame may have; with 0 the sender waits for [`Outgoing::grant`].
    pub fn budget(&self) -> usize {
        usize::try_from(self.credit).unwrap_or(usize::MAX).min(MAX_DATA_BYTES)
    }

    /// The hub granted so many bytes more. It never grants above the window, so more than that is cut.
    pub fn grant(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes).min(WINDOW_BYTES);
    }

    /// A frame with as much of `bytes` as may be sent, and how much that is; `None` where nothing may or need be sent.
    pub fn frame(&mut self, bytes: &[u8]) -> Option<(Message, usize)> {
        let size = bytes.len().min(self.budget());
        if size == 0 {
            return None;
        }
        let message = self.message(&Up::data(self.sequence, &bytes[..size]));
        self.sequence += 1;
        self.credit = self.credit.saturating_sub(size as u64);
        Some((message, size))
    }

    /// The last frame.
    pub fn close(self, error: Option<String>) -> Message {
        self.message(&Up::Close { error })
    }

    fn message(&self, body: &Up) -> Message {
        Message::new(Topic::StreamUp(self.node.clone(), self.id.clone()), body)
    }
}

/// Why a stream cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// Frames are missing.
    #[error("stream lost frames: {found} came where {expected} was due")]
    Gap {
        /// The frame that came.
        found: u64,
        /// The frame that was due.
        expected: u64,
    },
    /// The node sent more than was granted.
    #[error("stream overran its window of {WINDOW_BYTES} bytes")]
    Overrun,
    /// Not base64, or too long a frame.
    #[error("stream frame is malformed")]
    Frame,
}

/// The hub's end.
#[derive(Debug)]
pub struct Incoming {
    expected: u64,
    /// Sent by the node and not yet granted anew.
    under_way: u64,
    /// Read by the consumer and not yet granted anew.
    consumed: u64,
}

impl Default for Incoming {
    fn default() -> Self {
        Self::new()
    }
}

impl Incoming {
    /// The end of a stream that is about to be opened.
    pub const fn new() -> Self {
        Self { expected: 0, under_way: 0, consumed: 0 }
    }

    /// Takes a data frame. `None` for one that came before.
    pub fn data(&mut self, sequence: u64, data: &str) -> Result<Option<Vec<u8>>, StreamFault> {
        if sequence < self.expected {
            return Ok(None);
        }
        if sequence > self.expected {
            return Err(StreamFault::Gap { found: sequence, expected: self.expected });
        }
        let bytes = Up::bytes(data).filter(|b| b.len() <= MAX_DATA_BYTES).ok_or(StreamFault::Frame)?;
        self.under_way += bytes.len() as u64;
        if self.under_way > WINDOW_BYTES {
            return Err(StreamFault::Overrun);
        }
        self.expected += 1;
        Ok(Some(bytes))
    }

    /// The consumer has read so many bytes. Grants are gathered until they are worth a message.
    pub fn consumed(&mut self, bytes: u64) -> Option<Down> {
        self.consumed = (self.consumed + bytes).min(self.under_way);
        if self.consumed < WINDOW_BYTES / 4 {
            return None;
        }
        self.under_way -= self.consumed;
        Some(Down::Credit(std::mem::take(&mut self.consumed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(message: &Message) -> (u64, String) {
        match message.body().unwrap() {
            Up::Data { seq, data } => (seq, data),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sender_stops_at_the_window_and_goes_on_with_credit() {
        let mut out = Outgoing::new("n".parse().unwrap(), "s".parse().unwrap());
        let mut into = Incoming::new();
        let hello = Outgoing::hello("n".parse().unwrap(), "s".parse().unwrap());
        assert_eq!(into.data(0, &data(&hello).1), Ok(Some(vec![])));
        let window = usize::try_from(WINDOW_BYTES).unwrap();
        let source = vec![7; 3 * window];
        let (mut sent, mut read, mut queue) = (0, 0, std::collections::VecDeque::new());
        while read < source.len() {
            while let Some((message, size)) = out.frame(&source[sent..]) {
                sent += size;
                queue.push_back(message);
            }
            assert!(sent - read <= window);
            let (seq, text) = data(&queue.pop_front().expect("a stream that stands still"));
            let bytes = into.data(seq, &text).unwrap().unwrap();
            assert_eq!(into.data(seq, &text), Ok(None), "a repeated frame is dropped");
            read += bytes.len();
            if let Some(Down::Credit(more)) = into.consumed(bytes.len() as u64) {
                out.grant(more);
            }
        }
        assert_eq!(sent, source.len());
    }

    #[test]
    fn faults() {
        let frame = |n: usize| match Up::data(0, &vec![0; n]) {
            Up::Data { data, .. } => data,
            Up::Close { .. } => unreachable!(),
        };
        assert_eq!(Incoming::new().data(1, ""), Err(StreamFault::Gap { found: 1, expected: 0 }));
        assert_eq!(Incoming::new().data(0, "%"), Err(StreamFault::Frame));
        assert_eq!(Incoming::new().data(0, &frame(MAX_DATA_BYTES + 1)), Err(StreamFault::Frame));
        let mut into = Incoming::new();
        let full = frame(MAX_DATA_BYTES);
        let last = (0..).find(|&seq| into.data(seq, &full).is_err());
        assert_eq!(last, Some(WINDOW_BYTES / MAX_DATA_BYTES as u64));
    }
}
