use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::*;
use crate::log_store::LogStore;
use crate::recover;

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let recover::Opened { mut database, snapshots, witness, recovery } =
            recover::open(dir.path()).unwrap();
        assert_eq!(recovery, None);
        let committer = Committer::start(database.db.clone()).unwrap();
        let witness = Arc::new(witness);
        let log = LogStore::new(&database, committer.clone(), witness.clone());
        let machine = Machine::new(&mut database, committer, Arc::new(snapshots), witness, 100);
        Ok((dir, log, machine))
    }
}

#[test]
fn openraft_storage_suite() {
    Suite::test_all(Builder).unwrap();
}
