//! A small file beside sled that survives its loss: the vote, so that this hub never votes twice in a term, and whether
//! there are other hubs, so that one restored from an old snapshot does not believe that it is still alone.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::raft::{Entry, Vote};

/// What is witnessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    pub(crate) vote: Option<Vote>,
    pub(crate) peers: bool,
}

#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
    seen: Mutex<Seen>,
}

impl Witness {
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let seen = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Seen::default(),
            Err(e) => return Err(e),
        };
        Ok(Self { path, seen: Mutex::new(seen) })
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is witnessed, durably; blocking, and free of cost where nothing changes.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Seen)) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = *seen;
        change(&mut next);
        if next != *seen {
            write_synced(&self.path, &serde_json::to_vec(&next)?)?;
            *seen = next;
        }
        Ok(())
    }
}

/// Are there other hubs by the newest membership among these entries? None where they hold none.
pub(crate) fn peers_in(entries: &[Entry]) -> Option<bool> {
    entries.iter().rev().find_map(|entry| match &entry.payload {
        openraft::EntryPayload::Membership(membership) => Some(membership.nodes().count() > 1),
        _ => None,
    })
}

/// Writes a file that is whole or absent after a power cut; blocking.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("witness.json");
        let witness = Witness::open(path.clone()).unwrap();
        assert_eq!(witness.seen(), Seen::default());
        witness.update(|_| {}).unwrap();
        assert!(!path.exists());
        witness.update(|seen| seen.vote = Some(Vote::new(3, 1))).unwrap();
        witness.update(|seen| seen.peers = true).unwrap();
        let expected = Seen { vote: Some(Vote::new(3, 1)), peers: true };
        assert_eq!(Witness::open(path.clone()).unwrap().seen(), expected);
        fs::write(&path, "garbage").unwrap();
        assert!(Witness::open(path).is_err());
    }
}
