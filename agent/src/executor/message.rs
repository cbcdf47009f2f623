//! What a container says of its own end: a file that it writes, or the end of its log.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::logs::{LogReader, Options, Step};

/// kubelet's limit of a message.
const MAX_MESSAGE: usize = 4096;
/// kubelet's limits of what is taken from the log.
const MAX_LOG: usize = 2048;
const MAX_LINES: u64 = 80;

/// Where the message of a run is looked for.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    /// The file that the container writes.
    pub(super) file: PathBuf,
    /// Its log, where that may stand in for an empty file.
    pub(super) log: Option<PathBuf>,
}

/// The file in a run's folder that the container writes.
pub(super) fn file_in(dir: &Path) -> PathBuf {
    dir.join("termination-log")
}

/// Makes the empty file; whoever the container runs as may write it.
pub(super) fn make(dir: &Path) -> io::Result<PathBuf> {
    let path = file_in(dir);
    fs::write(&path, "")?;
    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    Ok(path)
}

/// The message of an ended run; empty where it has none.
pub(super) fn read(sources: &Sources) -> String {
    let said = tail(&sources.file).unwrap_or_default();
    let log = sources.log.as_deref().filter(|_| said.is_empty());
    let bytes = log.map_or(said, |log| end_of_log(log).unwrap_or_default());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The end of a file that may have grown without bound.
fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MAX_MESSAGE as u64)))?;
    let mut bytes = Vec::new();
    file.take(MAX_MESSAGE as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn end_of_log(path: &Path) -> io::Result<Vec<u8>> {
    let mut reader = LogReader::open(path, Options { tail: Some(MAX_LINES), ..Options::default() })?;
    let mut last = Vec::new();
    while let Step::Data(bytes) = reader.next(MAX_LOG)? {
        last.extend_from_slice(&bytes);
        last.drain(..last.len().saturating_sub(MAX_LOG));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_or_else_the_end_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let file = make(dir.path()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o666);
        let log = dir.path().join("0.log");
        let lines: String =
            (0..200).map(|n| format!("2026-01-01T00:00:00.000000000Z stdout F line {n:03}\n")).collect();
        fs::write(&log, lines).unwrap();
        let from = |log: Option<&PathBuf>| read(&Sources { file: file.clone(), log: log.cloned() });
        assert_eq!(from(None), "");
        let end = from(Some(&log));
        assert!(end.starts_with("line 120\n") && end.ends_with("line 199\n"), "{end}");
        let long = format!("2026-01-01T00:00:00.000000000Z stdout F {}\n", "x".repeat(5000));
        fs::write(&log, long.repeat(2)).unwrap();
        assert_eq!(from(Some(&log)).len(), MAX_LOG);
        fs::write(&file, format!("begin{}end", "m".repeat(5000))).unwrap();
        let said = from(Some(&log));
        assert!(said.len() == MAX_MESSAGE && said.ends_with("mend"), "the end of it");
        fs::write(&file, [0xff, b'a']).unwrap();
        assert_eq!(from(None), "\u{fffd}a");
        fs::remove_file(&file).unwrap();
        assert_eq!(from(None), "");
    }
}
