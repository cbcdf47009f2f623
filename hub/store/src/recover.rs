//! From a folder to a database that can be used: as it is, or, where sled is broken, from the newest good snapshot.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Revision;
use crate::database::{Applied, Database, noting_panics};
use crate::raft::Vote;
use crate::snapshots::Snapshots;
use crate::state::Records;
use crate::witness::{Seen, Witness, write_synced};

/// sled lets its folder go only after its last handle; a store that was just shut down may still hold one.
const BUSY_FOR: Duration = Duration::from_secs(5);

/// What was wrong at start, and what was done about it. Show it to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What was wrong.
    pub reason: String,
    /// Where the broken database lies now, if it was one.
    pub moved_to: Option<PathBuf>,
    /// The snapshot that took its place. What was acknowledged after it is lost on this hub; peers may still have it.
    pub restored: Option<Restored>,
    /// Damaged snapshots, under their new names.
    pub rejected: Vec<PathBuf>,
}

/// A snapshot that took a database's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its file.
    pub snapshot: PathBuf,
    /// The last log index in it.
    pub index: u64,
    /// The store's revision with it.
    pub revision: Revision,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("cannot use {}", path.display())]
    Folder {
        /// Which path.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The database is broken, and there is no good snapshot: starting empty would hide the loss.
    #[error(
        "the database in {} is lost ({reason}) and no snapshot is good; restore one from a backup, or remove the folder to start empty or to join the other hubs again",
        path.display()
    )]
    Lost {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The configuration is refused.
    #[error("the store's configuration is refused: {reason}")]
    Config {
        /// What is wrong with it.
        reason: String,
    },
    /// The Raft listener cannot be opened.
    #[error("cannot listen for other hubs on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    /// Raft does not start.
    #[error("raft does not start: {reason}")]
    Raft {
        /// What it said.
        reason: String,
    },
}

/// What opening gives.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) snapshots: Snapshots,
    pub(crate) witness: Witness,
    pub(crate) recovery: Option<Recovery>,
}

/// The paths below the store's folder.
pub(crate) struct Paths(PathBuf);

impl Paths {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn witness(&self) -> PathBuf {
        self.0.join("witness.json")
    }

    /// While this exists, the hub was restored behind what it once acknowledged, and neither votes nor stands.
    pub(crate) fn catching_up(&self) -> PathBuf {
        self.0.join("catching-up")
    }

    fn sled(&self) -> PathBuf {
        self.0.join("sled")
    }

    fn panicked(&self) -> PathBuf {
        self.0.join("sled.panicked")
    }
}

/// Opens what lies in the folder; blocking.
pub(crate) fn open(dir: &Path) -> Result<Opened, OpenError> {
    let folder_error = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Folder { path, source }
    };
    let paths = Paths::new(dir);
    let snapshot_dir = dir.join("snapshots");
    let (snapshots, rejected) = Snapshots::open(&snapshot_dir).map_err(folder_error(&snapshot_dir))?;
    let witness = Witness::open(paths.witness()).map_err(folder_error(&paths.witness()))?;
    let seen = witness.seen();

    let reason = match try_open(&paths, &snapshots, seen.vote)? {
        Ok(database) => {
            // Where the one that the log was purged for is damaged, Raft makes another.
            if snapshots.current().is_none_or(|(header, _)| header.meta.last_log_id < database.purged) {
                snapshots.pass_over();
            }
            let recovery = (!rejected.is_empty()).then(|| Recovery {
                reason: "the newest snapshot is damaged; the database is good".to_owned(),
                moved_to: None,
                restored: None,
                rejected,
            });
            return Ok(Opened { database, snapshots, witness, recovery });
        }
        Err(reason) => reason,
    };
    tracing::error!(reason, path = %dir.display(), "the database is broken");

    let moved_to = move_aside(&paths).map_err(folder_error(dir))?;
    let lost = |reason: String| OpenError::Lost { path: dir.to_owned(), reason };
    let snapshot = snapshots.load().map_err(|e| lost(format!("{reason}; the snapshot: {e}")))?;
    let restored = match &snapshot {
        Some((header, _, path)) => Some(Restored {
            snapshot: path.clone(),
            index: header.meta.last_log_id.map_or(0, |id| id.index),
            revision: header.revision,
        }),
        // Nothing was ever acknowledged without a vote: this was a first start that broke off.
        None if seen == Seen::default() && rejected.is_empty() => None,
        None => return Err(lost(reason)),
    };
    let mut applied = Applied::default();
    let mut records = Records::new();
    if let Some((header, found, _)) = snapshot {
        let (log_id, membership) = (header.meta.last_log_id, header.meta.last_membership);
        // Others joined, before the snapshot or after it: they know what was committed since.
        if seen.peers || membership.nodes().count() > 1 {
            write_synced(&paths.catching_up(), b"").map_err(folder_error(&paths.catching_up()))?;
        }
        (applied, records) = (Applied { log_id, membership, revision: header.revision }, found);
    }
    let fresh = dir.join("sled.new");
    let vote = next_vote(seen.vote, &applied);
    let seeded = remove_dir(&fresh)
        .map_err(|e| e.to_string())
        .and_then(|()| Database::seed(&fresh, &applied, &records, vote).map_err(|e| e.to_string()));
    drop(records);
    seeded.map_err(|reason| lost(format!("cannot write a new database: {reason}")))?;
    // The copy must not claim more than the new database has.
    witness.update(|seen| seen.vote = Some(vote)).map_err(folder_error(&paths.witness()))?;
    fs::rename(&fresh, paths.sled())
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(folder_error(&paths.sled()))?;
    let database = try_open(&paths, &snapshots, None)?.map_err(lost)?;

    let recovery = Recovery { reason, moved_to, restored, rejected };
    tracing::error!(
        reason = recovery.reason,
        moved_to = ?recovery.moved_to,
        snapshot = ?recovery.restored.as_ref().map(|r| &r.snapshot),
        revision = recovery.restored.as_ref().map_or(0, |r| r.revision.0),
        "restored from a snapshot; what was written after it is lost on this hub"
    );
    Ok(Opened { database, snapshots, witness, recovery: Some(recovery) })
}

/// The database, or in the inner `Err` why it cannot be trusted.
fn try_open(
    paths: &Paths,
    snapshots: &Snapshots,
    witness: Option<Vote>,
) -> Result<Result<Database, String>, OpenError> {
    if let Ok(message) = fs::read_to_string(paths.panicked()) {
        return Ok(Err(format!("sled panicked when it was opened: {message}")));
    }
    if !paths.sled().exists() && (snapshots.current().is_some() || witness.is_some()) {
        return Ok(Err("the database is missing".to_owned()));
    }
    let start = Instant::now();
    let opened = loop {
        let open = || noting_panics(&paths.panicked(), || Database::open(&paths.sled()));
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Err(e)) if e.to_string().contains("could not acquire lock") => {
                if start.elapsed() > BUSY_FOR {
                    return Err(OpenError::Busy { path: paths.0.clone() });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(result) => break result.map_err(|e| e.to_string()),
            Err(_) => break Err("sled panicked when it was opened".to_owned()),
        }
    };
    Ok(opened.and_then(|database| {
        check_tail(&database, snapshots, witness)?;
        Ok(database)
    }))
}

/// sled takes a damaged end of its log for the end of its log. Snapshots and the vote's copy know better.
fn check_tail(database: &Database, snapshots: &Snapshots, witness: Option<Vote>) -> Result<(), String> {
    let end = database.last.max(database.applied.log_id).map(|id| id.index);
    let snapshot = snapshots.current().and_then(|(header, _)| header.meta.last_log_id).map(|id| id.index);
    if snapshot > end {
        return Err(format!(
            "the database ends at {end:?}, but a snapshot was made at {snapshot:?}: sled lost its end"
        ));
    }
    let rank = |vote: Option<Vote>| vote.map(|v| (v.leader_id.term, v.leader_id.node_id, v.committed));
    if rank(witness) > rank(database.vote) {
        return Err(format!("the database has the vote {:?}, but {witness:?} was flushed", database.vote));
    }
    Ok(())
}

/// Not committed, so that an election with a higher term comes first: entries that were lost had log ids of this term.
fn next_vote(witness: Option<Vote>, applied: &Applied) -> Vote {
    let voted = witness.map(|vote| (vote.leader_id.term, vote.leader_id.node_id));
    let logged = applied.log_id.map(|id| (id.leader_id.term, id.leader_id.node_id));
    let (term, node) = voted.max(logged).unwrap_or_default();
    Vote::new(term, node)
}

fn move_aside(paths: &Paths) -> io::Result<Option<PathBuf>> {
    let from = paths.sled();
    let moved = if from.exists() {
        let to = (1..).map(|n| paths.0.join(format!("sled.broken-{n}"))).find(|path| !path.exists());
        if let Some(to) = &to {
            fs::rename(&from, to)?;
        }
        to
    } else {
        None
    };
    // After the move: a crash in between tries the move again.
    match fs::remove_file(paths.panicked()) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    File::open(&paths.0)?.sync_all()?;
    Ok(moved)
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
