//! The state machine as openraft sees it: applies entries to memory, follows on disk lazily, makes and takes snapshots.

use std::io;
use std::sync::Arc;

use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};

use crate::database::{Applied, put_applied, put_record, replace_state};
use crate::flush::Committer;
use crate::raft::{Entry, LogId, SnapshotMeta, StorageError, StoredMembership, TypeConfig};
use crate::snapshot_file::Header;
use crate::snapshots::{Snapshots, read_all};
use crate::state::{Record, State};
use crate::watch::Shared;
use crate::witness::Witness;
use crate::{Outcome, Revision};

pub(crate) struct Machine {
    shared: Arc<Shared>,
    db: sled::Db,
    tree: sled::Tree,
    committer: Committer,
    snapshots: Arc<Snapshots>,
    witness: Arc<Witness>,
}

impl Machine {
    pub(crate) fn new(
        database: &mut crate::database::Database,
        committer: Committer,
        snapshots: Arc<Snapshots>,
        witness: Arc<Witness>,
        history: usize,
    ) -> Self {
        let mut state = State::new(std::mem::take(&mut database.records), database.applied.revision, history);
        state.applied = database.applied.log_id;
        state.membership = database.applied.membership.clone();
        let (db, tree) = (database.db.clone(), database.state.clone());
        Self { shared: Arc::new(Shared::new(state)), db, tree, committer, snapshots, witness }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let state = self.shared.read();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Outcome>>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut batch = sled::Batch::default();
        let mut results = Vec::new();
        {
            let mut state = self.shared.write();
            for entry in entries {
                state.applied = Some(entry.log_id);
                let mut outcomes = Vec::new();
                match entry.payload {
                    EntryPayload::Blank => {}
                    EntryPayload::Membership(membership) => {
                        state.membership = StoredMembership::new(Some(entry.log_id), membership);
                    }
                    EntryPayload::Normal(command) => {
                        let mut dirty =
                            |key: &[u8], record: Option<&Record>| put_record(&mut batch, key, record);
                        for change in command.transactions.iter() {
                            outcomes.push(state.apply(change, &mut dirty));
                        }
                    }
                }
                results.push(outcomes);
            }
            put_applied(&mut batch, &applied(&state));
        }
        self.shared.ring();
        let tree = self.tree.clone();
        self.committer
            .lazy(move || tree.apply_batch(batch))
            .map_err(|e| StorageIOError::write_state_machine(&e))?;
        Ok(results)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let state = self.shared.read();
        // Keys are copied and values shared: some megabytes for 100,000 objects, and the state goes on changing.
        let records = state.records.iter().map(|(key, record)| (key.clone(), record.clone())).collect();
        Builder { applied: applied(&state), records, snapshots: self.snapshots.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<tokio::fs::File>, StorageError> {
        let file = self.snapshots.incoming().map_err(|e| StorageIOError::write_snapshot(None, &e))?;
        Ok(Box::new(tokio::fs::File::from_std(file)))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        file: Box<tokio::fs::File>,
    ) -> Result<(), StorageError> {
        let failed =
            |e: io::Error| StorageError::from(StorageIOError::write_snapshot(Some(meta.signature()), &e));
        let (snapshots, witness, claimed) = (self.snapshots.clone(), self.witness.clone(), meta.clone());
        let file = file.into_std().await;
        let read = move || {
            let mut file = file;
            io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
            let (header, records) = read_all(file).map_err(io::Error::other)?;
            if header.meta != claimed {
                return Err(io::Error::other("the snapshot is not the one that was announced"));
            }
            witness.update(|seen| seen.peers = header.meta.last_membership.nodes().count() > 1)?;
            snapshots.save(header.clone(), records.iter().map(|(k, r)| (k.as_ref(), r)))?;
            Ok((header, records))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other).and_then(|r| r);
        let (header, records) = read.map_err(failed)?;

        let applied = Applied {
            log_id: header.meta.last_log_id,
            membership: header.meta.last_membership,
            revision: header.revision,
        };
        let (db, at) = (self.db.clone(), applied.clone());
        let (filled, tree) = tokio::sync::oneshot::channel();
        let records = Arc::new(records);
        let source = records.clone();
        let job = move || {
            let tree = replace_state(&db, &source, &at)?;
            drop(source);
            drop(filled.send(tree));
            Ok(())
        };
        self.committer.wait(job).await.map_err(failed)?;
        self.tree = tree.await.map_err(|e| failed(io::Error::other(e)))?;
        {
            let mut state = self.shared.write();
            state.replace(Arc::unwrap_or_clone(records), applied.revision);
            state.applied = applied.log_id;
            state.membership = applied.membership;
        }
        self.shared.ring();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let Some((header, path)) = self.snapshots.current() else { return Ok(None) };
        let file = tokio::fs::File::open(path).await.map_err(|e| StorageIOError::read_snapshot(None, &e))?;
        Ok(Some(Snapshot { meta: header.meta, snapshot: Box::new(file) }))
    }
}

fn applied(state: &State) -> Applied {
    Applied { log_id: state.applied, membership: state.membership.clone(), revision: state.revision }
}

/// A view of the state that stays as it is, to be written as a snapshot.
pub(crate) struct Builder {
    applied: Applied,
    records: Vec<(Box<[u8]>, Record)>,
    snapshots: Arc<Snapshots>,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let records = std::mem::take(&mut self.records);
        let Applied { log_id, membership, revision } = self.applied.clone();
        let meta =
            SnapshotMeta { last_log_id: log_id, last_membership: membership, snapshot_id: String::new() };
        let header = Header { meta, revision, records: records.len() as u64 };
        let snapshots = self.snapshots.clone();
        let built = tokio::task::spawn_blocking(move || {
            let meta = snapshots.save(header, records.iter().map(|(k, r)| (k.as_ref(), r)))?;
            let (_, path) =
                snapshots.current().ok_or_else(|| io::Error::other("the snapshot has vanished"))?;
            io::Result::Ok((meta, std::fs::File::open(path)?))
        });
        let built = built.await.map_err(io::Error::other).and_then(|r| r);
        let (meta, file) = built.map_err(|e| StorageIOError::write_snapshot(None, &e))?;
        let Revision(revision) = revision;
        tracing::info!(revision, index = meta.last_log_id.map_or(0, |id| id.index), "snapshot written");
        Ok(Snapshot { meta, snapshot: Box::new(tokio::fs::File::from_std(file)) })
    }
}

#[cfg(test)]
#[path = "suite_test.rs"]
mod tests;
