//! Going back to the last healthy manifest: the memory of it on disk, and the manifests that may be gone back to.
//!
//! The core decides ([`RollbackMemory`]); this looks up manifests, reads the ends of logs, and keeps the memory: to the
//! second for an agent that is started again in the same boot, in a few steps a rollout on flash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gannet_agent_core::{Action, DesiredWorld, Exhausted, Observed, RollbackMemory, Sight};
use gannet_protocols_model::{Digest, Manifest, NodeEvent, PodStatus, PodUid, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::layout::Layout;
use crate::ledger::{Kept, Ledger, Volatile};

/// As much of the end of a log as holds the lines of a message, with their time stamps.
const LOG_END: u64 = 16 << 10;

/// The file in memory.
#[derive(Serialize, Deserialize)]
struct InMemory {
    boot_id: String,
    memory: RollbackMemory,
}

/// Belongs to the reconciler.
#[derive(Debug)]
pub(crate) struct Rollback {
    layout: Layout,
    ledger: Arc<Ledger>,
    memory: RollbackMemory,
    /// The manifests that may be gone back to and that the document may not name any more.
    manifests: BTreeMap<Digest, Arc<Manifest>>,
    /// What the document names.
    pub(crate) named: Arc<DesiredWorld>,
    exhausted: Vec<Exhausted>,
    boot_id: String,
    volatile: Volatile,
    /// As it was last written to the file in memory.
    last: RollbackMemory,
    durable: watch::Sender<Arc<RollbackMemory>>,
    frozen: bool,
}

impl Rollback {
    /// What the last agent knew, and what has to be written to flash from now on. Waits for the disk.
    pub(crate) fn open(
        layout: &Layout,
        ledger: &Arc<Ledger>,
        boot_id: &str,
    ) -> (Self, watch::Receiver<Arc<RollbackMemory>>) {
        let volatile = Volatile::new(layout.volatile_rollback());
        let in_memory = volatile.read().and_then(|bytes| serde_json::from_slice::<InMemory>(&bytes).ok());
        let on_flash = ledger.rollbacks.load();
        let memory = match in_memory.filter(|file| file.boot_id == boot_id) {
            Some(file) => file.memory,
            None => {
                let mut memory = on_flash.clone();
                memory.rebooted();
                memory
            }
        };
        let manifests: BTreeMap<Digest, Arc<Manifest>> =
            memory.targets().keys().filter_map(|digest| Some((*digest, ledger.manifest(digest)?))).collect();
        let (durable, receiver) = watch::channel(Arc::new(on_flash));
        let rollback = Self {
            layout: layout.clone(),
            ledger: Arc::clone(ledger),
            last: RollbackMemory::default(),
            memory,
            manifests,
            named: Arc::default(),
            exhausted: Vec::new(),
            boot_id: boot_id.to_owned(),
            volatile,
            durable,
            frozen: false,
        };
        rollback.keep_targets();
        (rollback, receiver)
    }

    /// The document names these pods from now on.
    pub(crate) fn name(&mut self, named: Arc<DesiredWorld>) {
        self.keep_manifests();
        self.named = named;
    }

    /// What the node works towards.
    pub(crate) fn effective(&self, observed: &Observed) -> Arc<DesiredWorld> {
        let look_up = |digest: &Digest| self.manifest(digest);
        Arc::new(self.memory.effective(&self.named, observed, look_up))
    }

    fn manifest(&self, digest: &Digest) -> Option<Arc<Manifest>> {
        let named = || {
            let pod = self.named.pods.values().find(|p| p.entry.manifest == *digest)?;
            pod.manifest.clone()
        };
        self.manifests.get(digest).cloned().or_else(named)
    }

    /// Learns from what is. Gives the pulls for what waits for its images, and when to look again.
    pub(crate) fn look(
        &mut self,
        effective: &DesiredWorld,
        observed: &Observed,
        statuses: &BTreeMap<PodUid, PodStatus>,
        now: Timestamp,
    ) -> (Vec<Action>, Option<Timestamp>) {
        if self.frozen {
            return (Vec::new(), None);
        }
        let named = Arc::clone(&self.named);
        let sight = Sight { named: &named, effective, observed, statuses, now };
        let (pulls, wake) = sight.pulls();
        let (exhausted, again) = self.memory.observe(sight);
        self.exhausted = exhausted;
        self.write();
        (pulls, [wake, again].into_iter().flatten().min())
    }

    /// Whether something has to be given up.
    pub(crate) fn is_due(&self) -> bool {
        !self.exhausted.is_empty()
    }

    /// Gives up what used up its time. Waits for the disk that holds the logs.
    pub(crate) async fn give_up(&mut self, now: Timestamp) -> Vec<NodeEvent> {
        let mut events = Vec::new();
        for one in std::mem::take(&mut self.exhausted) {
            let logs = one.pods.first().zip(one.container.as_ref()).map(|(p, c)| self.layout.logs(p, c));
            let log = match logs {
                Some(logs) => tokio::task::spawn_blocking(move || log_end(&logs)).await.unwrap_or_default(),
                None => String::new(),
            };
            warn!(manifest = %one.manifest, pods = ?one.pods, "manifest given up, back to the last healthy one");
            events.extend(self.memory.give_up(&one, &log, now));
        }
        self.write();
        events
    }

    /// From now on nothing is learned: pods that are stopped with the agent did not fail.
    pub(crate) fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Keeps the memory where it changed.
    fn write(&mut self) {
        let coarse = self.memory.coarse();
        if coarse == self.last {
            return;
        }
        if coarse.targets() != self.last.targets() {
            self.keep_manifests();
            self.keep_targets();
        }
        self.last = coarse.clone();
        let durable = self.memory.durable();
        if **self.durable.borrow() != durable {
            self.durable.send_replace(Arc::new(durable));
        }
        let file = InMemory { boot_id: self.boot_id.clone(), memory: coarse };
        // Maps with string keys always serialize.
        if let Err(error) = self.volatile.write(&serde_json::to_vec(&file).unwrap_or_default()) {
            warn!(?error, "what is healthy is not kept for the next agent");
        }
    }

    /// Holds on to manifests that the next document may not name any more.
    fn keep_manifests(&mut self) {
        let targets: Vec<Digest> = self.memory.targets().into_keys().collect();
        let kept = targets.into_iter().filter_map(|digest| Some((digest, self.manifest(&digest)?)));
        self.manifests = kept.collect();
    }

    /// Tells the ledger what is not garbage.
    fn keep_targets(&self) {
        let manifests: BTreeSet<Digest> = self.memory.targets().into_keys().collect();
        debug!(manifests = manifests.len(), "kept to go back to");
        self.ledger.keep(Kept { manifests, images: self.memory.images() });
    }
}

/// The last lines that a container wrote, in its last run that wrote any.
fn log_end(logs: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(logs) else { return String::new() };
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u32>().ok();
    let of_a_run = |path: PathBuf| Some((number(&path)?, path));
    let mut runs: Vec<(u32, PathBuf)> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .filter_map(of_a_run)
        .collect();
    runs.sort();
    let mut ends = runs.iter().rev().filter_map(|(_, path)| read_end(path)).map(|text| lines_of(&text));
    ends.find(|text| !text.is_empty()).unwrap_or_default()
}

fn read_end(path: &Path) -> Option<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_END))).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What the container wrote, out of `TIME STREAM TAG LINE`; a line that is cut off at its beginning is left out.
fn lines_of(cri: &str) -> String {
    let line = |line: &str| {
        let mut parts = line.splitn(4, ' ');
        let (time, stream) = (parts.next()?, parts.next()?);
        let text = parts.nth(1)?;
        (time.contains('T') && matches!(stream, "stdout" | "stderr")).then(|| format!("{text}\n"))
    };
    cri.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_last_run_that_said_something() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(log_end(&dir.path().join("none")), "");
        write("9.log", "2026-01-01T00:00:00.000000000Z stdout F nine\n");
        write(
            "10.log",
            "cut off stdout\n2026-01-01T00:00:00.000000000Z stdout F one two\n2026-01-01T00:00:00.000000000Z stderr P three\n",
        );
        write("10.log.1", "2026-01-01T00:00:00.000000000Z stdout F older\n");
        write("11.log", "");
        assert_eq!(log_end(dir.path()), "one two\nthree\n");
        let long = format!("2026-01-01T00:00:00.000000000Z stdout F {}\n", "x".repeat(90)).repeat(1000);
        write("12.log", &long);
        let end = log_end(dir.path());
        assert!(end.len() < 16 << 10 && end.lines().all(|l| l.len() == 90), "{}", end.len());
    }
}
