//! Room on the disk that is the agent's alone: a file that takes it, and that goes when the disk is full. What is written
//! then are the ledger, the files of pods that start, and the records of what garbage collection removes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gannet_protocols_model::ByteSize;
use rustix::fs::FallocateFlags;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Reserved;
use crate::node_info::disk_space;

/// In the data folder.
pub(crate) const NAME: &str = "reserve";
/// What the agent needs itself is much less, also with a hundred pods to start.
const MOST: u64 = 64 << 20;
/// With less free room than this a write may fail at any moment.
const FULL: u64 = 1 << 20;
/// How often the disk is looked at: one system call.
const PERIOD: Duration = Duration::from_secs(5);

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct Reserve {
    data: PathBuf,
    size: u64,
}

impl Reserve {
    /// Of the part of the data folder's disk that is reserved, 64 MiB at most: the rest of that part is kept free by
    /// what pods are told that they may use, and by eviction.
    pub(crate) fn new(data: &Path, reserved: &Reserved) -> Self {
        let disk = disk_space(data).map_or(0, |(size, _)| size);
        Self { data: data.to_owned(), size: reserved.disk_of(ByteSize(disk)).0.min(MOST) }
    }

    fn path(&self) -> PathBuf {
        self.data.join(NAME)
    }

    fn is_held(&self) -> bool {
        fs::metadata(self.path()).is_ok_and(|m| m.len() > 0)
    }

    /// Gives the room up where the disk is full, takes it again where there is plenty. Waits for the disk.
    pub(crate) fn look(&self) {
        let Ok((_, free)) = disk_space(&self.data) else { return };
        if self.is_held() {
            if free < FULL {
                give_up(&self.data);
            }
            return;
        }
        // Beyond what a give-up frees, lest it be taken and given up in turn.
        if self.size > 0 && free > self.size.saturating_mul(2).saturating_add(FULL * 8) {
            match self.take() {
                Ok(()) => info!(bytes = self.size, "room on the disk reserved"),
                Err(error) => warn!(%error, path = %self.path().display(), "no room on the disk is reserved"),
            }
        }
    }

    fn take(&self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(self.path())?;
        // Takes blocks without writing them: no wear. Where the file system cannot, there is no reserve.
        let taken = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.size)
            .map_err(io::Error::from)
            .and_then(|()| file.sync_all());
        if taken.is_err() {
            let _ = fs::remove_file(self.path());
        }
        taken
    }

    /// Looks now and then until it is told to stop.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        loop {
            let own = self.clone();
            let _ = tokio::task::spawn_blocking(move || own.look()).await;
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Frees the reserved room of a data folder; true where there was some.
pub(crate) fn give_up(data: &Path) -> bool {
    let path = data.join(NAME);
    // Emptied first: somebody may hold it open.
    let emptied = OpenOptions::new().write(true).open(&path).and_then(|file: File| file.set_len(0));
    let gone = emptied.is_ok() && fs::remove_file(&path).is_ok();
    if gone {
        warn!(path = %path.display(), "the disk is full: the reserved room is given up");
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_where_there_is_room_and_given_up_once() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve { data: dir.path().to_owned(), size: 1 << 20 };
        reserve.look();
        let taken = fs::metadata(dir.path().join(NAME));
        // A file system that cannot preallocate has none.
        if let Ok(taken) = taken {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!((taken.len(), taken.blocks() >= 2048), (1 << 20, true));
            assert!(give_up(dir.path()));
        }
        assert!(!give_up(dir.path()) && !reserve.is_held());
        let greedy = Reserve { data: dir.path().to_owned(), size: u64::MAX / 4 };
        greedy.look();
        assert!(!greedy.is_held(), "never more than half of what is free");
        let usual = crate::config::NodeSettings::default().reserved;
        assert!((1..=MOST).contains(&Reserve::new(dir.path(), &usual).size));
    }
}
