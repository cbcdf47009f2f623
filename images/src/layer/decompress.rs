//! Readers for layers: decompressed by what the bytes are, counted, hashed.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::Digest as _;

use gannet_protocols_model::Digest;

/// The largest window of zstd: 32 MB. Levels up to 19 need 8 MB; only `--ultra` and `--long` need more than this, and
/// the window is memory of the gateway.
const MAX_ZSTD_WINDOW_LOG: u32 = 25;

/// What an image may still unpack to, shared by its layers.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: AtomicU64,
    entries: AtomicU64,
}

impl Budget {
    pub(crate) fn new(bytes: u64, entries: u64) -> Self {
        Self { bytes: AtomicU64::new(bytes), entries: AtomicU64::new(entries) }
    }

    fn take(counter: &AtomicU64, amount: u64) -> bool {
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount)).is_ok()
    }

    /// Whether one more file is allowed.
    pub(crate) fn take_entry(&self) -> bool {
        Self::take(&self.entries, 1)
    }
}

/// The error of a layer that unpacks to more than its budget.
#[derive(Debug, thiserror::Error)]
#[error("layers unpack to more bytes than are allowed")]
pub(crate) struct TooLarge;

/// A layer's bytes, decompressed: gzip, zstd or neither. Media types are often wrong, so the first bytes decide; what
/// comes out is checked by its digest.
pub(crate) fn decompress<'a>(source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut source = BufReader::with_capacity(128 << 10, source);
    let start = source.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(source)));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
        decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(source))
}

/// Hashes and counts what is read.
pub(crate) struct Checked<'a, R> {
    inner: R,
    hash: sha2::Sha256,
    budget: &'a Budget,
}

impl<'a, R: Read> Checked<'a, R> {
    pub(crate) fn new(inner: R, budget: &'a Budget) -> Self {
        Self { inner, hash: sha2::Sha256::new(), budget }
    }

    /// Reads to the end and returns the digest of everything.
    pub(crate) fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Digest::from_sha256(self.hash.finalize().into()))
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if !Budget::take(&self.budget.bytes, read as u64) {
            return Err(io::Error::other(TooLarge));
        }
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
