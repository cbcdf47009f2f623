//! A frame: its length, what it is, a head in JSON, and a tail of bytes (log entries, a piece of a snapshot).

use std::io;

use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::codec::{self, Input};
use crate::raft::{Entry, LogId, SnapshotMeta, TypeConfig, Vote};

/// The largest transaction, or the log's `MAX_READ_BYTES`, or a piece of a snapshot, and room to spare.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// What a request asks for; the reply has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Append,
    Vote,
    Snapshot,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    head: Vec<u8>,
    tail: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct AppendHead {
    vote: Vote,
    prev_log_id: Option<LogId>,
    leader_commit: Option<LogId>,
}

#[derive(Serialize, Deserialize)]
struct SnapshotHead {
    vote: Vote,
    meta: SnapshotMeta,
    offset: u64,
    done: bool,
}

impl Frame {
    /// A frame with a head alone: a vote, or any reply.
    pub(crate) fn plain<T: Serialize>(kind: Kind, head: &T) -> io::Result<Self> {
        Ok(Self { kind, head: serde_json::to_vec(head)?, tail: Vec::new() })
    }

    pub(crate) fn append(request: &AppendEntriesRequest<TypeConfig>) -> io::Result<Self> {
        let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
        let head = AppendHead { vote: *vote, prev_log_id: *prev_log_id, leader_commit: *leader_commit };
        let mut tail = Vec::new();
        for entry in entries {
            let mut bytes = Vec::new();
            codec::put_entry(&mut bytes, entry);
            codec::put_bytes(&mut tail, &bytes);
        }
        Ok(Self { kind: Kind::Append, head: serde_json::to_vec(&head)?, tail })
    }

    pub(crate) fn snapshot(request: InstallSnapshotRequest<TypeConfig>) -> io::Result<Self> {
        let InstallSnapshotRequest { vote, meta, offset, data, done } = request;
        let head = serde_json::to_vec(&SnapshotHead { vote, meta, offset, done })?;
        Ok(Self { kind: Kind::Snapshot, head, tail: data })
    }

    pub(crate) fn head<T: DeserializeOwned>(&self) -> io::Result<T> {
        Ok(serde_json::from_slice(&self.head)?)
    }

    pub(crate) fn into_append(self) -> io::Result<AppendEntriesRequest<TypeConfig>> {
        let AppendHead { vote, prev_log_id, leader_commit } = self.head()?;
        let mut input = Input(&self.tail);
        let mut entries: Vec<Entry> = Vec::new();
        while !input.0.is_empty() {
            let bytes = input.bytes("an entry").map_err(invalid)?;
            entries.push(codec::entry(bytes).map_err(invalid)?);
        }
        Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
    }

    pub(crate) fn into_snapshot(self) -> io::Result<InstallSnapshotRequest<TypeConfig>> {
        let SnapshotHead { vote, meta, offset, done } = self.head()?;
        Ok(InstallSnapshotRequest { vote, meta, offset, data: self.tail, done })
    }

    pub(crate) async fn write(&self, out: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let len = 5 + self.head.len() + self.tail.len();
        if len > MAX_FRAME_BYTES {
            return Err(invalid(format!("a frame of {len} bytes is over {MAX_FRAME_BYTES}")));
        }
        let (len, head) =
            (u32::try_from(len).map_err(invalid)?, u32::try_from(self.head.len()).map_err(invalid)?);
        let kind = match self.kind {
            Kind::Append => 1,
            Kind::Vote => 2,
            Kind::Snapshot => 3,
        };
        let mut bytes = Vec::with_capacity(9 + self.head.len() + self.tail.len());
        bytes.extend(len.to_be_bytes());
        bytes.push(kind);
        bytes.extend(head.to_be_bytes());
        bytes.extend(&self.head);
        bytes.extend(&self.tail);
        out.write_all(&bytes).await?;
        out.flush().await
    }

    /// The next frame, or none where the peer has closed the connection between two.
    pub(crate) async fn read(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut start = [0; 4];
        match input.read_exact(&mut start).await {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let len = usize::try_from(u32::from_be_bytes(start)).map_err(invalid)?;
        if !(5..=MAX_FRAME_BYTES).contains(&len) {
            return Err(invalid(format!("a frame of {len} bytes; 5 to {MAX_FRAME_BYTES} are allowed")));
        }
        let kind = match input.read_u8().await? {
            1 => Kind::Append,
            2 => Kind::Vote,
            3 => Kind::Snapshot,
            other => return Err(invalid(format!("a frame of the unknown kind {other}"))),
        };
        let head_len = usize::try_from(input.read_u32().await?).map_err(invalid)?;
        let tail_len =
            (len - 5).checked_sub(head_len).ok_or_else(|| invalid("a frame's head is longer than it"))?;
        let head = read_bytes(input, head_len).await?;
        let tail = read_bytes(input, tail_len).await?;
        Ok(Some(Self { kind, head, tail }))
    }
}

/// Grows with what arrives, so that a length alone costs nothing.
async fn read_bytes(input: &mut (impl AsyncRead + Unpin), len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

pub(crate) fn invalid(reason: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload};

    use super::*;

    async fn there_and_back(frame: Frame) -> Frame {
        let mut bytes = Vec::new();
        frame.write(&mut bytes).await.unwrap();
        for cut in 1..bytes.len() {
            let result = Frame::read(&mut &bytes[..cut]).await;
            assert!(matches!(&result, Err(_) | Ok(None)), "{cut}: {result:?}");
        }
        Frame::read(&mut bytes.as_slice()).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn requests_and_back() {
        let log_id = LogId::new(CommittedLeaderId::new(3, 1), 8);
        let entry = Entry { log_id, payload: EntryPayload::Blank };
        let request = AppendEntriesRequest {
            vote: Vote::new_committed(3, 1),
            prev_log_id: None,
            entries: vec![entry.clone(), entry],
            leader_commit: Some(log_id),
        };
        let found = there_and_back(Frame::append(&request).unwrap()).await.into_append().unwrap();
        assert_eq!(found.entries, request.entries);
        assert_eq!((found.vote, found.leader_commit), (request.vote, request.leader_commit));

        let request = InstallSnapshotRequest {
            vote: Vote::new(3, 1),
            meta: SnapshotMeta::default(),
            offset: 7,
            data: vec![1, 2, 3],
            done: true,
        };
        let found = there_and_back(Frame::snapshot(request.clone()).unwrap()).await.into_snapshot().unwrap();
        assert_eq!(found, request);
    }

    #[tokio::test]
    async fn hostile_frames() {
        let check = async |bytes: &[u8], expected: &str| {
            let mut bytes = bytes;
            let error = Frame::read(&mut bytes).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&[0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0], "are allowed").await;
        check(&[0, 0, 0, 4, 1, 0, 0, 0, 0], "are allowed").await;
        check(&[0, 0, 0, 5, 9, 0, 0, 0, 0], "unknown kind 9").await;
        check(&[0, 0, 0, 5, 1, 0, 0, 0, 1, b'x'], "longer than it").await;
        let frame = Frame { kind: Kind::Append, head: b"{}".to_vec(), tail: vec![] };
        assert!(frame.into_append().is_err());
        let huge = Frame { kind: Kind::Vote, head: vec![], tail: vec![0; MAX_FRAME_BYTES] };
        assert!(huge.write(&mut Vec::new()).await.is_err());
    }
}
