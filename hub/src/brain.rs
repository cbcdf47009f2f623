//! The hub's one decision loop: facts from nodes and changes in the store go in, changes and signed documents come out.
//!
//! One task owns the world, so that everything committed before is in it when the core decides next. It is
//! level-triggered: whatever woke it, it reads the world and decides anew; a change that met a conflict is decided again
//! in the next round. Only the Raft leader acts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gannet_hub_api::objects::Objects;
use gannet_hub_core::compile::{ClusterNetwork, compile};
use gannet_hub_core::control::{self, Context, SeededNames};
use gannet_hub_core::{Change, ObjectKey};
use gannet_hub_pki::Authority;
use gannet_hub_store::{Expect, Key, Op, Outcome, Store, WatchError};
use gannet_protocols_link::Fact;
use gannet_protocols_model::{Digest, Generation, NodeName, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::documents::Documents;
use crate::follow::Follower;
use crate::ingest::{self, Step};
use crate::publish::{Publisher, Word};

/// Turns in one round. A turn reaches its whole effect but for what depends on its own writes; more than a few means
/// that something fights, and then the rest of the hub must get its turn.
const TURNS_A_ROUND: usize = 8;
/// Facts that are taken before the controllers look again.
const FACTS_A_ROUND: usize = 128;
/// How often old events are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// A round that failed (no majority, a full disk) is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// Where the generation of a node's desired document is recorded.
const DESIRED: &str = "nodedesireds.gannet.dev";

/// What the loop works with.
pub(crate) struct Brain {
    pub(crate) store: Arc<Store>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) documents: Documents,
    pub(crate) publisher: Publisher,
    pub(crate) facts: mpsc::Receiver<Fact>,
    pub(crate) names: SeededNames,
}

/// The part that changes.
struct Mind {
    follower: Follower,
    cluster: ClusterNetwork,
    /// The newest generation of each node, and what it names.
    desired: BTreeMap<NodeName, (Generation, Digest)>,
    /// What nodes said that they have, to be judged once their documents are current.
    inventories: BTreeMap<NodeName, Step>,
    /// When time alone makes something due.
    due: Option<Timestamp>,
}

impl Brain {
    /// Decides until told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut leads = self.store.leader_changes();
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        let mut mind = Mind {
            follower: Follower::open(&self.store),
            cluster: ClusterNetwork::default(),
            desired: BTreeMap::new(),
            inventories: BTreeMap::new(),
            due: None,
        };
        let mut facts = Vec::new();
        loop {
            let leader = self.store.is_leader();
            if leader {
                let steps = facts.drain(..).flat_map(ingest::steps).collect();
                self.round(&mut mind, steps).await;
            }
            let wait = mind.due.map_or(Duration::from_secs(3600), |due| due.since(self.objects.now()));
            tokio::select! {
                () = stop.cancelled() => return,
                changed = mind.follower.changed() => {
                    match changed {
                        Ok(()) => (),
                        Err(WatchError::Gone(gone)) => {
                            debug!(?gone, "the store is read anew");
                            mind.follower = Follower::open(&self.store);
                        }
                        // The store has stopped, and with it all that could be decided.
                        Err(WatchError::Closed) => return,
                    }
                    mind.follower.catch_up(&self.store);
                }
                // A hub that does not lead takes none: the broker holds back what its gateway does not take.
                taken = self.facts.recv_many(&mut facts, FACTS_A_ROUND), if leader => if taken == 0 { return },
                changed = leads.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => (),
                _ = prune.tick() => if let Err(error) = self.prune().await {
                    warn!(error, "old events were not removed");
                },
            }
        }
    }

    async fn prune(&self) -> Result<(), String> {
        if self.store.is_leader() {
            self.objects.prune_events().await.map_err(|status| status.message)?;
        }
        Ok(())
    }

    /// Takes in what nodes said, lets the controllers decide until they are content, compiles what was touched.
    async fn round(&mut self, mind: &mut Mind, steps: Vec<Step>) {
        mind.due = None;
        for step in steps {
            if let Step::Inventory(node, ..) = &step {
                mind.inventories.insert(node.clone(), step);
                continue;
            }
            let changes = ingest::decide(&mind.follower.world, &step, None, self.objects.now());
            self.apply(mind, changes).await;
        }
        for _ in 0..TURNS_A_ROUND {
            let now = self.objects.now();
            let turn = control::turn(&mut Context { world: &mind.follower.world, now, ids: &mut self.names });
            // A retry that is due stays due.
            mind.due = [mind.due, turn.next].into_iter().flatten().min();
            if turn.changes.is_empty() || !self.apply(mind, turn.changes).await {
                break;
            }
        }
        let mut deferred = BTreeSet::new();
        for node in mind.follower.take_touched() {
            if let Err(error) = self.compile(mind, &node).await {
                warn!(node.name = %node, error, "the node's documents could not be recorded; tried again");
                deferred.insert(node.clone());
                mind.follower.touch_again(node);
                mind.due = Some(self.objects.now().plus(RETRY));
            }
        }
        // Only now is it known which documents are the newest. For a newer one the node will tell its pods again.
        for (node, step) in std::mem::take(&mut mind.inventories) {
            if deferred.contains(&node) {
                mind.inventories.insert(node, step);
                continue;
            }
            let newest = mind.desired.get(&node).map(|(generation, _)| *generation);
            let changes = ingest::decide(&mind.follower.world, &step, newest, self.objects.now());
            self.apply(mind, changes).await;
        }
    }

    /// Commits changes in order, then brings the world up to them. False where the store could not take them.
    async fn apply(&self, mind: &mut Mind, changes: Vec<Change>) -> bool {
        let mut fine = true;
        for change in changes {
            debug!(?change, "change");
            if let Err(status) = self.objects.apply(change).await {
                warn!(reason = status.reason, message = status.message, "a change was refused");
                mind.due = Some(self.objects.now().plus(RETRY));
                fine = false;
            }
        }
        mind.follower.catch_up(&self.store);
        fine
    }

    /// Compiles a node's documents; where they differ from the recorded ones, records the next generation and publishes.
    async fn compile(&self, mind: &mut Mind, node: &NodeName) -> Result<(), String> {
        if !mind.follower.world.nodes.contains_key(&ObjectKey::new("", node.as_str())) {
            if mind.desired.remove(node).is_some() {
                info!(node.name = %node, "node was removed");
                self.documents.remove(node);
                self.publisher.put(node, Word::Forget);
            }
            return Ok(());
        }
        let documents = Arc::new(compile(&mind.follower.world, &mind.cluster, node));
        let content = documents.content(node);
        if mind.desired.get(node).is_none_or(|(_, known)| *known != content) {
            let generation = self.record(node, content).await?;
            let signed = self.authority.signing_key().sign(&documents.desired(node, generation).to_bytes());
            debug!(node.name = %node, %generation, pods = documents.pods.len(), "desired document");
            self.documents.put(node, documents.clone());
            self.publisher.put(node, Word::Desired(generation, signed.to_bytes().into()));
            mind.desired.insert(node.clone(), (generation, content));
        }
        let now = self.objects.now();
        let statuses =
            documents.misfits.iter().filter_map(|(pod, misfit)| ingest::misfit_status(pod, misfit));
        let changes: Vec<Change> = statuses
            .filter_map(|status| control::apply_report(&mind.follower.world, node, &status, now))
            .collect();
        self.apply(mind, changes).await;
        Ok(())
    }

    /// The generation of this content: the recorded one, or the next. On disk before any node hears of it, so that it
    /// only ever grows.
    async fn record(&self, node: &NodeName, content: Digest) -> Result<Generation, String> {
        let key = Key::new(DESIRED, "", node.as_str());
        loop {
            let stored = self.store.get(&key);
            let value: Value =
                stored.as_ref().and_then(|s| serde_json::from_slice(&s.value).ok()).unwrap_or_default();
            let generation = Generation(value["generation"].as_u64().unwrap_or(0));
            if value["content"].as_str() == Some(&content.to_string()) {
                return Ok(generation);
            }
            let expect = stored.map_or(Expect::Absent, |s| Expect::At(s.modified));
            let value = json!({"generation": generation.next(), "content": content}).to_string().into_bytes();
            match self.store.commit(Op::Put { key: key.clone(), value, expect }.into()).await {
                Ok(Outcome::Committed { .. }) => return Ok(generation.next()),
                Ok(Outcome::Conflict { .. }) => (),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
