//! Files that are whole or not there, whatever moment the power goes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file: to `temporary` first, to disk, then under its name, then the folder to disk.
pub fn write(temporary: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    publish(temporary, target)
}

/// Gives what already is on disk its name.
pub fn publish(temporary: &Path, target: &Path) -> io::Result<()> {
    std::fs::rename(temporary, target)?;
    sync_folder_of(target)
}

/// Makes names that were added to or removed from the folder of `path` durable.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
