//! Writes what is remembered of pods: to flash only what must survive a power cut, rarely; to memory all of it, at once.

use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_model::PodUid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use gannet_agent_core::{Observed, PodRecord};

use crate::ledger::{Ledger, LedgerError, Volatile};

/// Changes within this time become one write.
const GATHER: Duration = Duration::from_secs(1);
/// What was not written is tried again.
const AGAIN: Duration = Duration::from_secs(30);

pub(crate) type PodRecords = BTreeMap<PodUid, PodRecord>;

/// The file in memory. A boot that is not this one left it on a file system that was no memory after all.
#[derive(Serialize, Deserialize)]
struct InMemory {
    boot_id: String,
    pods: PodRecords,
}

/// The reconciler's side.
#[derive(Debug)]
pub(crate) struct Persist {
    boot_id: String,
    volatile: Volatile,
    last: PodRecords,
    durable: watch::Sender<Arc<PodRecords>>,
    frozen: bool,
}

/// The records of the last agent: whole where it ran in this boot, else what the ledger kept.
pub(crate) fn load(ledger: &Ledger, volatile: &Volatile, boot_id: &str) -> PodRecords {
    let in_memory = volatile.read().and_then(|bytes| serde_json::from_slice::<InMemory>(&bytes).ok());
    match in_memory.filter(|file| file.boot_id == boot_id) {
        Some(file) => file.pods,
        None => ledger.records.load(),
    }
}

impl Persist {
    pub(crate) fn new(boot_id: String, volatile: Volatile) -> (Self, watch::Receiver<Arc<PodRecords>>) {
        let (durable, receiver) = watch::channel(Arc::default());
        (Self { boot_id, volatile, last: PodRecords::new(), durable, frozen: false }, receiver)
    }

    /// Takes a look at the records.
    pub(crate) fn look(&mut self, observed: &Observed) {
        let same = self.last.len() == observed.pods.len()
            && self
                .last
                .iter()
                .zip(&observed.pods)
                .all(|((a, record), (b, pod))| a == b && *record == pod.record);
        if same || self.frozen {
            return;
        }
        let records: PodRecords =
            observed.pods.iter().map(|(uid, pod)| (uid.clone(), pod.record.clone())).collect();
        let durable = |records: &PodRecords| -> Vec<(PodUid, PodRecord)> {
            records.iter().map(|(uid, record)| (uid.clone(), record.durable())).collect()
        };
        if durable(&self.durable.borrow()) != durable(&records) {
            self.durable.send_replace(Arc::new(records.clone()));
        }
        let file = InMemory { boot_id: self.boot_id.clone(), pods: records };
        let bytes = serde_json::to_vec(&file).unwrap_or_default();
        if let Err(error) = self.volatile.write(&bytes) {
            warn!(?error, "records of pods are not kept for the next agent");
        }
        self.last = file.pods;
    }

    /// From now on nothing is kept: pods that are stopped with the agent are to be started with it again.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
    }
}

/// Writes what changed, gathered; the last of it before it ends. What the disk did not take is written when it does.
pub(crate) async fn keep<T: Send + Sync + 'static>(
    what: &'static str,
    mut changes: watch::Receiver<Arc<T>>,
    save: impl Fn(&T) -> Result<(), LedgerError> + Clone + Send + 'static,
    stop: CancellationToken,
) {
    let mut failed = false;
    loop {
        let stopped = tokio::select! {
            changed = changes.changed() => changed.is_err(),
            () = tokio::time::sleep(AGAIN), if failed => false,
            () = stop.cancelled() => true,
        };
        if !stopped {
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = stop.cancelled() => {}
            }
        } else if !failed && !changes.has_changed().unwrap_or(false) {
            return;
        }
        let (save, now) = (save.clone(), changes.borrow_and_update().clone());
        let written = match tokio::task::spawn_blocking(move || save(&now)).await {
            Ok(written) => written.map_err(|error| crate::executor::chain(&error)),
            Err(error) => Err(error.to_string()),
        };
        failed = written.is_err();
        if let Err(error) = written {
            warn!(error, "{what} not written");
        }
        if stopped {
            return;
        }
    }
}
