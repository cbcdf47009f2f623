//! A snapshot's bytes, plain enough to read in twenty years: a line that says what it is, a JSON header behind its
//! length, the records with lengths before keys and values, and the sha256 of all of it.
//!
//! ```text
//! gannet snapshot 1\n
//! u32 length, header as JSON (Raft's position and membership, revision, number of records)
//! for each record: u32 length, key; u64 created; u64 modified; u32 length, value      (all big-endian)
//! 32 bytes sha256
//! ```

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::raft::SnapshotMeta;
use crate::state::Record;
use crate::{Key, MAX_VALUE_BYTES, Revision};

const MAGIC: &[u8; 18] = b"gannet snapshot 1\n";
/// A membership of some dozen hubs is a few kilobytes.
const MAX_HEADER_BYTES: usize = 1024 * 1024;
const MAX_KEY_BYTES: usize = 4 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) meta: SnapshotMeta,
    pub(crate) revision: Revision,
    pub(crate) records: u64,
}

/// Why a file is no snapshot to trust.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("cannot read the snapshot")]
    Read(#[source] io::Error),
    #[error("the file does not start as a snapshot of version 1")]
    Magic,
    #[error("the snapshot's {what} is damaged")]
    Damaged { what: &'static str },
    #[error("the snapshot's checksum does not match")]
    Checksum,
}

pub(crate) fn write<'a>(
    out: impl Write,
    header: &Header,
    records: impl Iterator<Item = (&'a [u8], &'a Record)>,
) -> io::Result<()> {
    let mut out = Hashing { inner: io::BufWriter::new(out), hash: Sha256::new() };
    out.write_all(MAGIC)?;
    write_bytes(&mut out, &serde_json::to_vec(header)?)?;
    for (key, record) in records {
        write_bytes(&mut out, key)?;
        out.write_all(&record.created.0.to_be_bytes())?;
        out.write_all(&record.modified.0.to_be_bytes())?;
        write_bytes(&mut out, &record.value)?;
    }
    let Hashing { mut inner, hash } = out;
    inner.write_all(&hash.finalize())?;
    inner.flush()
}

/// Reads a snapshot, giving each record to `visit` before the checksum is known: use none of them if this fails.
pub(crate) fn read(
    input: impl Read,
    mut visit: impl FnMut(Box<[u8]>, Record),
) -> Result<Header, SnapshotError> {
    let mut input = Hashing { inner: io::BufReader::with_capacity(64 * 1024, input), hash: Sha256::new() };
    if array::<18>(&mut input)? != *MAGIC {
        return Err(SnapshotError::Magic);
    }
    let header = read_bytes(&mut input, MAX_HEADER_BYTES, "header")?;
    let header: Header =
        serde_json::from_slice(&header).map_err(|_| SnapshotError::Damaged { what: "header" })?;
    for _ in 0..header.records {
        let key = read_bytes(&mut input, MAX_KEY_BYTES, "key")?;
        Key::decode(&key).map_err(|_| SnapshotError::Damaged { what: "key" })?;
        let created = Revision(u64::from_be_bytes(array(&mut input)?));
        let modified = Revision(u64::from_be_bytes(array(&mut input)?));
        let value = read_bytes(&mut input, MAX_VALUE_BYTES, "value")?;
        visit(key.into(), Record { created, modified, value: value.into() });
    }
    let expected: [u8; 32] = input.hash.clone().finalize().into();
    if array::<32>(&mut input)? != expected {
        return Err(SnapshotError::Checksum);
    }
    match input.read(&mut [0]) {
        Ok(0) => Ok(header),
        Ok(_) => Err(SnapshotError::Damaged { what: "end" }),
        Err(e) => Err(SnapshotError::Read(e)),
    }
}

struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}

fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(bytes)
}

fn array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], SnapshotError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(SnapshotError::Read)?;
    Ok(bytes)
}

fn read_bytes(input: &mut impl Read, max: usize, what: &'static str) -> Result<Vec<u8>, SnapshotError> {
    let len = usize::try_from(u32::from_be_bytes(array(input)?)).unwrap_or(usize::MAX);
    if len > max {
        return Err(SnapshotError::Damaged { what });
    }
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes).map_err(SnapshotError::Read)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Records;

    #[test]
    fn every_damaged_byte_is_noticed() {
        let record =
            |n: u64| Record { created: Revision(n), modified: Revision(n + 1), value: vec![7; 20].into() };
        let records: Records =
            (0..5).map(|n| (Key::new("pods", "a", n.to_string()).encode(), record(n))).collect();
        let header = Header { meta: SnapshotMeta::default(), revision: Revision(9), records: 5 };
        let mut bytes = Vec::new();
        write(&mut bytes, &header, records.iter().map(|(k, r)| (k.as_ref(), r))).unwrap();

        let mut found = Records::new();
        assert_eq!(read(bytes.as_slice(), |k, r| drop(found.insert(k, r))).unwrap(), header);
        assert_eq!(found, records);

        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(read(damaged.as_slice(), |_, _| {}).is_err(), "byte {at}");
            assert!(read(&bytes[..at], |_, _| {}).is_err(), "cut at {at}");
        }
        bytes.push(0);
        assert!(read(bytes.as_slice(), |_, _| {}).is_err());
    }
}
