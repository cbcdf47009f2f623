//! The store: opens the parts, wires them, and is the way in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::error::{ClientWriteError, InitializeError, RaftError};
use openraft::{BasicNode, ChangeMembers, ServerState, SnapshotPolicy};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Start};
use crate::flush::Committer;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::network::{CatchUp, Peers, Server};
use crate::proposer::{self, Proposal};
use crate::raft::Raft;
use crate::recover::{self, OpenError, Opened, Paths, Recovery};
use crate::state::{Page, Range, Stored};
use crate::watch::{Shared, Watch};
use crate::{CommitError, Gone, Key, Outcome, Revision, Transaction, compaction, leadership};

/// A single hub leads within moments, unless its disk hangs; then whoever opened the store learns it by `is_leader`.
const LEAD_WITHIN: Duration = Duration::from_secs(10);

/// Why the cluster's members were not changed, or a snapshot not made.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader can.
    #[error("this hub is not the leader")]
    NotLeader {
        /// The leader's id, if it is known.
        leader: Option<u64>,
    },
    /// Raft refuses the change, or has stopped.
    #[error("the members cannot be changed: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
}

/// Where a store stands, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// This hub.
    pub node_id: u64,
    /// The leader, if it is known.
    pub leader: Option<u64>,
    /// The voters' ids.
    pub voters: BTreeSet<u64>,
    /// All members and where hubs reach them.
    pub members: BTreeMap<u64, String>,
    /// Raft's term.
    pub term: u64,
    /// The last log index that was applied.
    pub applied: Option<u64>,
    /// The last log index in the newest snapshot.
    pub snapshot: Option<u64>,
    /// Restored behind what it acknowledged, and not caught up: no vote until then.
    pub catching_up: bool,
    /// Why Raft has stopped, if it has.
    pub failed: Option<String>,
}

/// The hub's store. Clones are the same store; it stops with [`Store::shutdown`] or when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    node_id: u64,
    raft: Raft,
    shared: Arc<Shared>,
    proposals: mpsc::Sender<Proposal>,
    leads: watch::Receiver<bool>,
    committer: Committer,
    catch_up: Arc<CatchUp>,
    recovery: Option<Recovery>,
    address: Option<SocketAddr>,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
    lock: Mutex<Option<File>>,
}

impl Store {
    /// Opens the store in its folder: as it is, from a snapshot where its database is broken (see [`Store::recovery`]),
    /// or new. A single hub leads and has applied its log when this returns.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let raft_config = raft_config(&config)?;
        let (dir, paths) = (config.dir.clone(), Paths::new(&config.dir));
        let opened = tokio::task::spawn_blocking(move || {
            let lock = take_lock(&dir)?;
            recover::open(&dir).map(|opened| (lock, opened))
        });
        let opened = opened.await.map_err(|e| OpenError::Raft { reason: e.to_string() })?;
        let (lock, Opened { mut database, snapshots, witness, recovery }) = opened?;

        let folder_error = |source| OpenError::Folder { path: config.dir.clone(), source };
        let committer = Committer::start(database.db.clone()).map_err(folder_error)?;
        let witness = Arc::new(witness);
        let proven = snapshots.current().and_then(|(header, _)| header.meta.last_log_id);
        let log = LogStore::new(&database, committer.clone(), witness.clone()).proven(proven);
        let appended = log.appended();
        let no_snapshot = snapshots.current().is_none();
        let snapshots = Arc::new(snapshots);
        let machine = Machine::new(&mut database, committer.clone(), snapshots, witness, config.history);
        drop(database);
        let shared = machine.shared();
        let catch_up = Arc::new(CatchUp::new(paths.catching_up()));

        let mut listener = None;
        let mut advertise = String::new();
        if let Some(network) = &config.network {
            let listen_error = |source| OpenError::Listen { address: network.listen, source };
            let bound = tokio::net::TcpListener::bind(network.listen).await.map_err(listen_error)?;
            let address = bound.local_addr().map_err(listen_error)?;
            advertise = match network.advertise.strip_suffix(":0") {
                Some(host) => format!("{host}:{}", address.port()),
                None => network.advertise.clone(),
            };
            listener = Some((bound, address, network.tls.clone()));
        }

        let peers = Peers { tls: config.network.as_ref().map(|network| network.tls.client.clone()) };
        let raft = openraft::Raft::new(config.node_id, Arc::new(raft_config), peers, log, machine).await;
        let raft = raft.map_err(|e| OpenError::Raft { reason: e.to_string() })?;
        if catch_up.active() {
            raft.runtime_config().elect(false);
        }

        let stop = CancellationToken::new();
        let (proposals, waiting) = mpsc::channel(proposer::QUEUE);
        let (leading, leads) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut address = None;
        if let Some((listener, bound, tls)) = listener {
            address = Some(bound);
            let server = Server { raft: raft.clone(), tls, catch_up: catch_up.clone() };
            tasks.spawn(server.run(listener, stop.clone()));
        }
        let lease = config.timing.election_min;
        tasks.spawn(leadership::run(raft.clone(), leading, lease, stop.clone()));
        tasks.spawn(proposer::run(raft.clone(), waiting));
        tasks.spawn(compaction::run(raft.clone(), config.snapshot_interval, appended, stop.clone()));

        let store = Self {
            inner: Arc::new(Inner {
                node_id: config.node_id,
                raft,
                shared,
                proposals,
                leads,
                committer,
                catch_up,
                recovery,
                address,
                stop,
                tasks: Mutex::new(tasks),
                lock: Mutex::new(Some(lock)),
            }),
        };
        if let Err(e) = store.begin(config.start, advertise, no_snapshot).await {
            store.shutdown().await;
            return Err(e);
        }
        Ok(store)
    }

    /// Makes the cluster where there is none, and waits until a single voter leads.
    async fn begin(&self, start: Start, advertise: String, no_snapshot: bool) -> Result<(), OpenError> {
        let inner = &self.inner;
        if inner.catch_up.active() {
            return Ok(());
        }
        if start == Start::Bootstrap {
            let members = BTreeMap::from([(inner.node_id, BasicNode::new(advertise))]);
            match inner.raft.initialize(members).await {
                // Not allowed means that there is a log already: the usual case.
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(e) => return Err(OpenError::Raft { reason: e.to_string() }),
            }
        }
        let failed = |e: openraft::error::Fatal<u64>| OpenError::Raft { reason: e.to_string() };
        // Not from the metrics: they follow later.
        let voters =
            inner.raft.with_raft_state(|state| state.membership_state.effective().voter_ids().collect());
        let voters: BTreeSet<u64> = voters.await.map_err(failed)?;
        if voters != BTreeSet::from([inner.node_id]) {
            return Ok(());
        }
        let leads = inner.raft.with_raft_state(|state| state.server_state == ServerState::Leader);
        if !leads.await.map_err(failed)? {
            inner.raft.trigger().elect().await.map_err(failed)?;
        }
        let mut leads = inner.leads.clone();
        if tokio::time::timeout(LEAD_WITHIN, leads.wait_for(|leads| *leads)).await.is_err() {
            tracing::warn!("the only voter does not lead yet");
        }
        if no_snapshot {
            // From the first moment on there is something to fall back to.
            inner.raft.trigger().snapshot().await.map_err(failed)?;
        }
        Ok(())
    }

    /// Commits a transaction: when this returns `Committed`, it is flushed on a majority and reads of this hub show it.
    /// Dropping the future does not take it back. Without a majority it waits; give it a timeout.
    pub async fn commit(&self, transaction: Transaction) -> Result<Outcome, CommitError> {
        let bytes = transaction.validate().map_err(CommitError::Invalid)?;
        let stopped = || CommitError::Stopped { reason: "the store is shut down".to_owned() };
        if self.inner.stop.is_cancelled() {
            return Err(stopped());
        }
        let (reply, outcome) = oneshot::channel();
        let proposal = Proposal { change: transaction.into(), bytes, reply };
        self.inner.proposals.send(proposal).await.map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<Stored> {
        self.inner.shared.read().get(key)
    }

    /// Objects in the order of their keys, all at one revision. Another page has a later revision: who needs the first
    /// one's has to take all at once.
    pub fn list(&self, range: &Range) -> Page {
        self.inner.shared.read().list(range)
    }

    /// Events with a later revision than `from`, of a kind and a namespace or of all. A revision that this hub has not
    /// reached yet is no error: events after it will come.
    pub fn watch(&self, kind: Option<&str>, namespace: Option<&str>, from: Revision) -> Result<Watch, Gone> {
        Watch::open(&self.inner.shared, kind, namespace, from)
    }

    /// The revision of the last change.
    pub fn revision(&self) -> Revision {
        self.inner.shared.read().revision
    }

    /// Does this hub lead, having applied all that was committed before?
    pub fn is_leader(&self) -> bool {
        *self.inner.leads.borrow()
    }

    /// [`Store::is_leader`] as it changes.
    pub fn leader_changes(&self) -> watch::Receiver<bool> {
        self.inner.leads.clone()
    }

    /// What was wrong when the store was opened, if anything was.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.inner.recovery.as_ref()
    }

    /// Where this hub listens for others.
    pub fn raft_address(&self) -> Option<SocketAddr> {
        self.inner.address
    }

    /// Where the store stands.
    pub fn status(&self) -> Status {
        let metrics = self.inner.raft.metrics();
        let now = metrics.borrow();
        let membership = now.membership_config.membership();
        Status {
            node_id: self.inner.node_id,
            leader: now.current_leader,
            voters: membership.voter_ids().collect(),
            members: membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
            term: now.current_term,
            applied: now.last_applied.map(|id| id.index),
            snapshot: now.snapshot.map(|id| id.index),
            catching_up: self.inner.catch_up.active(),
            failed: now.running_state.as_ref().err().map(ToString::to_string),
        }
    }

    /// Lets another hub follow, and waits until it has what this one has.
    pub async fn add_learner(&self, id: u64, address: impl Into<String>) -> Result<(), MembershipError> {
        let added = self.inner.raft.add_learner(id, BasicNode::new(address.into()), true).await;
        added.map(drop).map_err(membership_error)
    }

    /// Makes these hubs, all of them members by now, the voters; others are removed.
    pub async fn change_membership(&self, voters: BTreeSet<u64>) -> Result<(), MembershipError> {
        self.inner.raft.change_membership(voters, false).await.map(drop).map_err(membership_error)
    }

    /// Tells the others where a member is reached from now on.
    pub async fn set_address(&self, id: u64, address: impl Into<String>) -> Result<(), MembershipError> {
        let nodes = BTreeMap::from([(id, BasicNode::new(address.into()))]);
        self.inner
            .raft
            .change_membership(ChangeMembers::SetNodes(nodes), true)
            .await
            .map(drop)
            .map_err(membership_error)
    }

    /// Has a snapshot made of all that is applied now, and waits for it.
    pub async fn make_snapshot(&self) -> Result<(), MembershipError> {
        let applied = self.inner.shared.read().applied;
        let made = compaction::make_now(&self.inner.raft, applied).await;
        made.map_err(|reason| MembershipError::Refused { reason })
    }

    /// Stops: watches end, what waits is refused, everything written is flushed, the folder is free.
    pub async fn shutdown(&self) {
        let inner = &self.inner;
        inner.stop.cancel();
        if let Err(e) = inner.raft.shutdown().await {
            tracing::warn!(error = %e, "raft did not stop in order");
        }
        inner.shared.close();
        let mut tasks = std::mem::take(&mut *inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        let committer = inner.committer.clone();
        if tokio::task::spawn_blocking(move || committer.close()).await.is_err() {
            tracing::warn!("the committing thread did not stop in order");
        }
        drop(inner.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("node_id", &self.inner.node_id).finish_non_exhaustive()
    }
}

fn raft_config(config: &Config) -> Result<openraft::Config, OpenError> {
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let raft = openraft::Config {
        cluster_name: "gannet".to_owned(),
        heartbeat_interval: millis(config.timing.heartbeat),
        election_timeout_min: millis(config.timing.election_min),
        election_timeout_max: millis(config.timing.election_max),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every),
        // A follower that was away for a moment gets entries rather than all of the state.
        max_in_snapshot_log_to_keep: config.snapshot_every / 10,
        replication_lag_threshold: config.snapshot_every.saturating_mul(2),
        snapshot_max_chunk_size: 1024 * 1024,
        install_snapshot_timeout: 30_000,
        ..openraft::Config::default()
    };
    if config.snapshot_every == 0 || config.history == 0 {
        return Err(OpenError::Config { reason: "snapshot_every and history must be at least 1".to_owned() });
    }
    raft.validate().map_err(|e| OpenError::Config { reason: e.to_string() })
}

/// Blocking. The lock ends with the file.
fn take_lock(dir: &std::path::Path) -> Result<File, OpenError> {
    let path = Paths::new(dir).lock();
    let folder_error = |source| OpenError::Folder { path: path.clone(), source };
    std::fs::create_dir_all(dir).map_err(folder_error)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(folder_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::Busy { path: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(e)) => Err(folder_error(e)),
    }
}

fn membership_error(error: RaftError<u64, ClientWriteError<u64, BasicNode>>) -> MembershipError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            MembershipError::NotLeader { leader: forward.leader_id }
        }
        other => MembershipError::Refused { reason: other.to_string() },
    }
}

#[cfg(test)]
#[path = "store_test.rs"]
mod tests;
