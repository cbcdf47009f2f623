//! A container's log in the format of the container runtime interface: `TIME STREAM TAG LINE`, capped by size.
//!
//! What the disk does not take is dropped and counted: a full disk never stops a container.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A longer line is written in parts.
const MAX_LINE: usize = 16 * 1024;

/// Read at once: more would only make the shim larger.
const READ: usize = 16 * 1024;

/// Caps of one container's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// A file is rotated before it grows beyond this.
    pub max_bytes: u64,
    /// Files kept: the current one, `.1`, `.2` and so on.
    pub max_files: u32,
}

impl Default for LogLimits {
    /// 10 MiB × 3; kubelet has the same size and five files.
    fn default() -> Self {
        Self { max_bytes: 10 << 20, max_files: 3 }
    }
}

/// One of the two outputs of a container.
pub(crate) struct Source {
    pub(crate) file: File,
    stream: &'static str,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
}

impl Source {
    pub(crate) fn new(file: File, stream: &'static str) -> Self {
        Self { file, stream, line: Vec::new() }
    }

    /// Reads once and logs what came; false when there was nothing.
    pub(crate) fn pump(&mut self, log: &mut Log, time: &str) -> bool {
        let mut bytes = [0; READ];
        match self.file.read(&mut bytes) {
            Ok(count) if count > 0 => {
                self.take(&bytes[..count], log, time);
                true
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => true,
            _ => false,
        }
    }

    fn take(&mut self, mut bytes: &[u8], log: &mut Log, time: &str) {
        let mut text = Vec::with_capacity(bytes.len() + 128);
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.parts(&mut text, time);
            let line = std::mem::take(&mut self.line);
            self.entry(&mut text, time, "F", &line);
        }
        self.line.extend_from_slice(bytes);
        self.parts(&mut text, time);
        log.append(&text);
    }

    /// Takes whole parts off a line that is too long.
    fn parts(&mut self, text: &mut Vec<u8>, time: &str) {
        while self.line.len() > MAX_LINE {
            let rest = self.line.split_off(MAX_LINE);
            let part = std::mem::replace(&mut self.line, rest);
            self.entry(text, time, "P", &part);
        }
    }

    fn entry(&self, text: &mut Vec<u8>, time: &str, tag: &str, line: &[u8]) {
        for part in [time.as_bytes(), b" ", self.stream.as_bytes(), b" ", tag.as_bytes(), b" ", line, b"\n"] {
            text.extend_from_slice(part);
        }
    }

    /// Logs what the container wrote before it ended, and a last line without its end.
    pub(crate) fn finish(&mut self, log: &mut Log, time: &str) {
        // A FIFO holds 64 KiB, or 1 MiB where somebody enlarged it.
        for _ in 0..(1 << 20) / READ {
            if !self.pump(log, time) {
                break;
            }
        }
        if !self.line.is_empty() {
            let mut text = Vec::new();
            let line = std::mem::take(&mut self.line);
            self.entry(&mut text, time, "F", &line);
            log.append(&text);
        }
    }
}

/// The files.
pub(crate) struct Log {
    path: PathBuf,
    limits: LogLimits,
    open: Option<(File, u64)>,
    pub(crate) dropped: u64,
}

impl Log {
    pub(crate) fn new(path: PathBuf, limits: LogLimits) -> Self {
        Self { path, limits, open: None, dropped: 0 }
    }

    fn append(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(whole_entries(rest, self.limits.max_bytes));
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if self.try_append(piece, length).is_err() {
                self.dropped = self.dropped.saturating_add(length);
                // Opened anew next time: the disk may have been filled, remounted or replaced.
                self.open = None;
            }
            rest = more;
        }
    }

    fn try_append(&mut self, text: &[u8], length: u64) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(_, size)| *size > 0 && size + length > self.limits.max_bytes) {
            self.open = None;
            rotate(&self.path, self.limits.max_files)?;
        }
        if self.open.is_none() {
            if let Some(dir) = self.path.parent() {
                fs::create_dir_all(dir)?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        let Some((file, size)) = &mut self.open else { return Ok(()) };
        if let Err(err) = file.write_all(text) {
            // Half a line would spoil the next one.
            let _ = file.set_len(*size);
            return Err(err);
        }
        *size += length;
        Ok(())
    }
}

/// How many bytes of these entries go into one file: whole ones, and at least one.
fn whole_entries(entries: &[u8], limit: u64) -> usize {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if entries.len() <= limit {
        return entries.len();
    }
    let end = |slice: &[u8]| slice.iter().rposition(|b| *b == b'\n').map(|at| at + 1);
    let first = || entries.iter().position(|b| *b == b'\n').map_or(entries.len(), |at| at + 1);
    end(&entries[..limit]).unwrap_or_else(first)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn rotate(path: &Path, files: u32) -> io::Result<()> {
    if files <= 1 {
        return fs::remove_file(path);
    }
    for number in (0..files - 1).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    Ok(())
}

/// Now, as a log entry has it.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

#[cfg(test)]
#[path = "log_test.rs"]
mod tests;
