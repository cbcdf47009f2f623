//! Reads one run's log (CRI format: `TIME STREAM TAG LINE`) across rotation, without ever waiting.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use gannet_protocols_model::Timestamp;

/// Rotated files that are looked for: more than the shim keeps.
const MAX_ROTATED: u32 = 9;
/// Looks at the files while they rotate.
const SNAPSHOTS: usize = 16;
/// Read at once.
const BLOCK: usize = 16 << 10;
/// A longer line than the shim writes is not one of its lines.
const MAX_RAW_LINE: usize = 64 << 10;

/// What of a log is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// A time stamp before each line.
    pub(crate) timestamps: bool,
    /// Only the last lines.
    pub(crate) tail: Option<u64>,
    /// Only lines from this time on.
    pub(crate) since: Option<Timestamp>,
    /// At most so many bytes.
    pub(crate) limit_bytes: Option<u64>,
}

/// What the next step gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next bytes for the reader.
    Data(Vec<u8>),
    /// All that is there was read; more may come.
    AtEnd,
    /// No more than that was wanted.
    Done,
}

/// A position in a log.
#[derive(Debug)]
pub(crate) struct LogReader {
    path: PathBuf,
    /// Older files first; the last is the one that still grows.
    files: VecDeque<File>,
    options: Options,
    /// Bytes of a line whose end has not been read.
    raw: Vec<u8>,
    /// Whether the last line was a part, so that the next goes on with it.
    inside_line: bool,
    left: Option<u64>,
}

impl LogReader {
    /// Opens the log of a run; one that is not there yet may come.
    pub(crate) fn open(path: &Path, options: Options) -> io::Result<Self> {
        let mut files: VecDeque<File> = snapshot(path)?.into_iter().map(|(_, file)| file).collect();
        if let Some(lines) = options.tail {
            skip_to_tail(&mut files, lines)?;
        }
        let left = options.limit_bytes;
        Ok(Self { path: path.to_owned(), files, options, raw: Vec::new(), inside_line: false, left })
    }

    /// The next bytes, at most about `max`.
    pub(crate) fn next(&mut self, max: usize) -> io::Result<Step> {
        let mut out = Vec::new();
        while out.len() < max {
            if self.left == Some(0) {
                return Ok(if out.is_empty() { Step::Done } else { Step::Data(out) });
            }
            let mut block = [0; BLOCK];
            let count = match self.files.front_mut() {
                Some(file) => read(file, &mut block)?,
                None => 0,
            };
            if count > 0 {
                self.take(&block[..count], &mut out);
            } else if !self.advance()? {
                break;
            }
        }
        Ok(if out.is_empty() { Step::AtEnd } else { Step::Data(out) })
    }

    /// Goes on to the next file, if there is one.
    fn advance(&mut self) -> io::Result<bool> {
        if self.files.len() > 1 {
            self.files.pop_front();
            return Ok(true);
        }
        let Some(file) = self.files.front_mut() else {
            self.files = snapshot(&self.path)?.into_iter().map(|(_, file)| file).collect();
            return Ok(!self.files.is_empty());
        };
        let meta = file.metadata()?;
        let (inode, at) = (meta.ino(), file.stream_position()?);
        if meta.len() < at {
            // Emptied, since all logs together took too much of the disk.
            file.seek(SeekFrom::Start(0))?;
            self.raw.clear();
            return Ok(meta.len() > 0);
        }
        match fs::metadata(&self.path) {
            Ok(now) if now.ino() == inode => return Ok(false),
            // Rotated, and the new one not begun.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
            Ok(_) => {}
        }
        // The shim may have written between our last read and its rotation.
        let mut rest = [0; 1];
        if read(file, &mut rest)? > 0 {
            file.seek(SeekFrom::Start(at))?;
            return Ok(true);
        }
        let mut now = snapshot(&self.path)?;
        // Where ours is gone already, the oldest that is left is the next.
        if let Some(ours) = now.iter().position(|(found, _)| *found == inode) {
            now.drain(..=ours);
        }
        self.files = now.into_iter().map(|(_, file)| file).collect();
        Ok(!self.files.is_empty())
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            self.raw.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.raw);
                self.line(&line[..line.len() - 1], out);
            } else if self.raw.len() > MAX_RAW_LINE {
                self.raw.clear();
            }
        }
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut fields = line.splitn(4, |b| *b == b' ');
        let (Some(time), Some(_stream), Some(tag)) = (fields.next(), fields.next(), fields.next()) else {
            return;
        };
        let text = fields.next().unwrap_or_default();
        if let Some(since) = self.options.since {
            let at = std::str::from_utf8(time).ok().and_then(|t| t.parse::<Timestamp>().ok());
            if at.is_none_or(|at| at < since) {
                return;
            }
        }
        let from = out.len();
        if self.options.timestamps && !self.inside_line {
            out.extend_from_slice(time);
            out.push(b' ');
        }
        out.extend_from_slice(text);
        self.inside_line = tag == b"P";
        if !self.inside_line {
            out.push(b'\n');
        }
        if let Some(left) = &mut self.left {
            let room = usize::try_from(*left).unwrap_or(usize::MAX);
            out.truncate(from.saturating_add(room));
            *left -= (out.len() - from) as u64;
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The files of a log with their inodes, oldest first. Looked at twice: a rotation in between would hide a file or show
/// one twice.
fn snapshot(path: &Path) -> io::Result<Vec<(u64, File)>> {
    let mut files = Vec::new();
    for _ in 0..SNAPSHOTS {
        files.clear();
        for number in (0..=MAX_ROTATED).rev() {
            if let Some(file) = open_existing(&numbered(path, number))? {
                files.push((file.metadata()?.ino(), file));
            }
        }
        let found = |number| fs::metadata(numbered(path, number)).ok().map(|m| m.ino());
        let now: Vec<u64> = (0..=MAX_ROTATED).rev().filter_map(found).collect();
        if files.iter().map(|(inode, _)| *inode).eq(now) {
            return Ok(files);
        }
    }
    // Rotated faster than anyone could read it.
    files.dedup_by_key(|(inode, _)| *inode);
    Ok(files)
}

fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn read(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(block) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Drops files and seeks, so that exactly the last lines are left. Parts of a long line count each, as in kubelet.
fn skip_to_tail(files: &mut VecDeque<File>, lines: u64) -> io::Result<()> {
    let mut wanted = lines;
    let mut keep_from = 0;
    for (index, file) in files.iter_mut().enumerate().rev() {
        match tail_offset(file, &mut wanted)? {
            Some(offset) => {
                file.seek(SeekFrom::Start(offset))?;
                keep_from = index;
                break;
            }
            None => {
                file.seek(SeekFrom::Start(0))?;
            }
        }
    }
    files.drain(..keep_from);
    Ok(())
}

/// Where the last lines of a file begin; `None` where it has fewer, and then `wanted` is what is missing.
fn tail_offset(file: &mut File, wanted: &mut u64) -> io::Result<Option<u64>> {
    let mut end = file.seek(SeekFrom::End(0))?;
    if *wanted == 0 {
        return Ok(Some(end));
    }
    let mut block = vec![0; BLOCK];
    let mut first = true;
    while end > 0 {
        let size = end.min(BLOCK as u64);
        let start = end - size;
        file.seek(SeekFrom::Start(start))?;
        let slice = &mut block[..usize::try_from(size).unwrap_or(BLOCK)];
        file.read_exact(slice)?;
        for (at, byte) in slice.iter().enumerate().rev() {
            if *byte != b'\n' {
                continue;
            }
            // The newline of the last line begins no further line.
            if std::mem::take(&mut first) {
                continue;
            }
            *wanted -= 1;
            if *wanted == 0 {
                return Ok(Some(start + at as u64 + 1));
            }
        }
        end = start;
    }
    // The first line has no newline before it.
    if !first {
        *wanted -= 1;
        if *wanted == 0 {
            return Ok(Some(0));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;
