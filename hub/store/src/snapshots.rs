//! The folder of snapshots beside sled: written to a temporary file, fsynced, renamed; the last two are kept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::raft::SnapshotMeta;
use crate::snapshot_file::{self, Header, SnapshotError};
use crate::state::{Record, Records};

/// The newest, and one to fall back to.
const KEPT: usize = 2;
const SUFFIX: &str = "snap";

#[derive(Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Never given to two files, so that two snapshots of one position are told apart.
    next_number: u64,
    current: Option<(Header, PathBuf)>,
}

impl Snapshots {
    /// Opens the folder and finds the newest snapshot whose checksum is right. Gives those that were newer and are not:
    /// they are set aside under another name.
    pub(crate) fn open(dir: &Path) -> io::Result<(Self, Vec<PathBuf>)> {
        fs::create_dir_all(dir)?;
        let mut files = Vec::new();
        let mut next_number = 1;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            match path.extension().and_then(|e| e.to_str()) {
                Some(SUFFIX) => files.push(path),
                Some("tmp") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        // Names start with the index in fixed width, so the newest sorts last.
        files.sort();
        for path in &files {
            let number =
                path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.rsplit('-').next()?.parse().ok());
            next_number = next_number.max(number.unwrap_or(0_u64).saturating_add(1));
        }
        let mut rejected = Vec::new();
        let mut current = None;
        for path in files.into_iter().rev() {
            match File::open(&path)
                .map_err(SnapshotError::Read)
                .and_then(|f| snapshot_file::read(f, |_, _| {}))
            {
                Ok(header) => {
                    current = Some((header, path));
                    break;
                }
                Err(e) => {
                    tracing::error!(snapshot.path = %path.display(), error = %e, "a snapshot is damaged");
                    let aside = path.with_extension("broken");
                    fs::rename(&path, &aside)?;
                    rejected.push(aside);
                }
            }
        }
        let inner = Mutex::new(Inner { next_number, current });
        Ok((Self { dir: dir.to_owned(), inner }, rejected))
    }

    /// The newest snapshot, and its file.
    pub(crate) fn current(&self) -> Option<(Header, PathBuf)> {
        self.lock().current.clone()
    }

    /// Uses none of those there are: the log before the next entry to send is in none of them.
    pub(crate) fn pass_over(&self) {
        self.lock().current = None;
    }

    /// Reads the newest snapshot as a whole.
    pub(crate) fn load(&self) -> Result<Option<(Header, Records, PathBuf)>, SnapshotError> {
        let Some((_, path)) = self.current() else { return Ok(None) };
        let (header, records) = read_all(File::open(&path).map_err(SnapshotError::Read)?)?;
        Ok(Some((header, records, path)))
    }

    /// Writes a snapshot under a new id (or, for one that was received, under its own), and makes it the newest.
    pub(crate) fn save<'a>(
        &self,
        mut header: Header,
        records: impl Iterator<Item = (&'a [u8], &'a Record)>,
    ) -> io::Result<SnapshotMeta> {
        let number = {
            let mut inner = self.lock();
            inner.next_number += 1;
            inner.next_number - 1
        };
        let (index, term) = header.meta.last_log_id.map_or((0, 0), |id| (id.index, id.leader_id.term));
        let name = format!("{index:020}-{term}-{number}");
        if header.meta.snapshot_id.is_empty() {
            header.meta.snapshot_id.clone_from(&name);
        }
        let path = self.dir.join(format!("{name}.{SUFFIX}"));
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        snapshot_file::write(&mut file, &header, records)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.dir)?.sync_all()?;
        let meta = header.meta.clone();
        self.lock().current = Some((header, path));
        self.prune()?;
        Ok(meta)
    }

    /// A nameless file for what a leader sends.
    pub(crate) fn incoming(&self) -> io::Result<File> {
        let path = self.dir.join("incoming.tmp");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    fn prune(&self) -> io::Result<()> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.dir)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
        files.retain(|path| path.extension().is_some_and(|e| e == SUFFIX));
        files.sort();
        let current = self.current().map(|(_, path)| path);
        let surplus = files.len().saturating_sub(KEPT);
        for path in files.into_iter().take(surplus).filter(|path| Some(path) != current.as_ref()) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a snapshot as a whole.
pub(crate) fn read_all(file: File) -> Result<(Header, Records), SnapshotError> {
    let mut records = Records::new();
    let header = snapshot_file::read(file, |key, record| drop(records.insert(key, record)))?;
    Ok((header, records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::LogId;
    use crate::{Key, Revision};

    fn save(snapshots: &Snapshots, index: u64) {
        let key = Key::new("pods", "a", index.to_string()).encode();
        let record = Record { created: Revision(1), modified: Revision(1), value: vec![1].into() };
        let last_log_id = Some(LogId::new(openraft::CommittedLeaderId::new(1, 1), index));
        let meta = SnapshotMeta { last_log_id, ..SnapshotMeta::default() };
        let header = Header { meta, revision: Revision(index), records: 1 };
        snapshots.save(header, std::iter::once((key.as_ref(), &record))).unwrap();
    }

    fn index(snapshots: &Snapshots) -> Option<u64> {
        snapshots.load().unwrap().map(|(header, _, _)| header.revision.0)
    }

    #[test]
    fn two_are_kept_and_a_damaged_one_falls_back() {
        let dir = tempfile::tempdir().unwrap();
        let (snapshots, _) = Snapshots::open(dir.path()).unwrap();
        assert_eq!(index(&snapshots), None);
        for n in [5, 90, 100, 100] {
            save(&snapshots, n);
        }
        assert_eq!(index(&snapshots), Some(100));
        let files = || fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
        assert_eq!(files().len(), 2);
        save(&snapshots, 110);

        let newest = snapshots.current().unwrap().1;
        let mut bytes = fs::read(&newest).unwrap();
        bytes[40] ^= 1;
        fs::write(&newest, bytes).unwrap();
        fs::write(dir.path().join("torn.tmp"), "torn").unwrap();
        let (snapshots, rejected) = Snapshots::open(dir.path()).unwrap();
        assert_eq!(index(&snapshots), Some(100));
        assert_eq!(rejected, [newest.with_extension("broken")]);
        assert!(!dir.path().join("torn.tmp").exists());
        save(&snapshots, 120);
        assert_eq!(index(&Snapshots::open(dir.path()).unwrap().0), Some(120));
    }
}
