//! Opens the data folder, also one that is full or cannot be written: what is in it must run all the same.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use anyhow::{Context as _, bail};
use tracing::warn;

use crate::config::Reserved;
use crate::layout::Layout;
use crate::reserve::Reserve;

/// An open data folder, this agent's alone.
#[derive(Debug)]
pub(crate) struct DataFolder {
    pub(crate) layout: Layout,
    pub(crate) reserve: Reserve,
    /// Held for as long as the agent runs.
    pub(crate) lock: File,
}

/// Opens it.
///
/// # Errors
/// Another agent has it; or there is none and it cannot be made.
pub(crate) fn open(data: &Path, run: &Path, reserved: &Reserved) -> anyhow::Result<DataFolder> {
    let mut layout = Layout::new(data, run);
    fs::create_dir_all(&layout.run).with_context(|| format!("make {}", layout.run.display()))?;
    let made = fs::create_dir_all(data).and_then(|()| fs::create_dir_all(layout.pods()));
    let read_only = match made.and_then(|()| is_read_only(data)) {
        Ok(read_only) => read_only,
        Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem && data.is_dir() => true,
        Err(e) if e.kind() == io::ErrorKind::StorageFull => false,
        Err(e) => return Err(e).with_context(|| format!("make {}", data.display())),
    };
    if read_only {
        warn!(
            path = %data.display(),
            "the data folder is read-only: pods run from what is there, their changes are kept in memory, and nothing new is accepted; check the disk (dmesg), then mount it with write access"
        );
        layout = layout.with_pods_in_memory();
        fs::create_dir_all(layout.pods()).with_context(|| format!("make {}", layout.pods().display()))?;
    }
    let lock = lock(&layout.lock())?;
    let reserve = Reserve::new(data, reserved);
    // Before anything is written.
    reserve.look();
    if !read_only {
        fs::create_dir_all(layout.pods()).with_context(|| format!("make {}", layout.pods().display()))?;
    }
    Ok(DataFolder { layout, reserve, lock })
}

fn is_read_only(path: &Path) -> io::Result<bool> {
    Ok(rustix::fs::statvfs(path)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        // A lock needs no write.
        .or_else(|error| File::open(path).map_err(|_| error))
        .with_context(|| format!("make {}", path.display()))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => bail!("another agent runs with {}", path.display()),
        Err(error) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}
