//! Takes up what an earlier agent left running.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use gannet_agent_core::{AdoptedContainer, DesiredPod, Fact, LiveState, PodFact};
use gannet_agent_runtime::{ContainerStatus, PodState, Status};
use gannet_protocols_model::{PodUid, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::wall;
use crate::executor::{Tools, chain};
use crate::reconcile_task::{Reconciler, core_exit};

/// Between two questions to a shim that did not answer.
const AGAIN: Duration = Duration::from_secs(2);
/// Clock ticks a second in `/proc` (USER_HZ): the same on every Linux that we know of.
const TICKS: u64 = 100;

/// Pods whose shim did not answer yet. Nothing is done with them until it has: what runs must not be started twice.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pods: BTreeSet<PodUid>,
}

/// Tells the reconciler of everything that runs.
pub(crate) async fn adopt(tools: &Tools, reconciler: &mut Reconciler) -> Waiting {
    let addresses = addresses(tools).await;
    let mut waiting = Waiting::default();
    for (uid, state) in tools.runtime.pods().await {
        match state {
            Ok(state) => {
                let wanted = reconciler.wanted(&uid);
                let fact = adopted(tools, wanted.as_deref(), &uid, &state, &addresses).await;
                info!(pod.uid = %uid, containers = state.containers.len(), "pod adopted");
                reconciler.take(Fact::Pod(uid, fact));
            }
            Err(error) => {
                warn!(pod.uid = %uid, error = chain(&error), "shim does not answer, the pod is left as it is");
                let nothing = PodFact::Adopted { ip: None, containers: Vec::new() };
                reconciler.take(Fact::Pod(uid.clone(), nothing));
                reconciler.take(Fact::Pod(uid.clone(), PodFact::Busy));
                waiting.pods.insert(uid);
            }
        }
    }
    reconciler.take(Fact::AdoptionEnded);
    waiting
}

async fn addresses(tools: &Tools) -> BTreeMap<PodUid, Ipv4Addr> {
    tools.network.attached().await.into_iter().map(|(uid, attachment)| (uid, attachment.ip)).collect()
}

async fn adopted(
    tools: &Tools,
    wanted: Option<&DesiredPod>,
    uid: &PodUid,
    state: &PodState,
    addresses: &BTreeMap<PodUid, Ipv4Addr>,
) -> PodFact {
    let ip = addresses.get(uid).copied().filter(|_| state.sandbox.netns.is_some());
    let mut containers: Vec<AdoptedContainer> = state.containers.iter().filter_map(container).collect();
    for found in &mut containers {
        if let LiveState::Exited { exit, .. } = &mut found.state {
            *exit = tools.with_message(uid, &found.id, exit.clone(), wanted).await;
        }
    }
    PodFact::Adopted { ip, containers }
}

fn container(status: &ContainerStatus) -> Option<AdoptedContainer> {
    let id = status.id.parse().map_err(|error| warn!(%error, "container that is not ours")).ok()?;
    let started_at = status.start_ticks.map(since_boot);
    let state = match (&status.exit, status.status) {
        (Some(exit), _) => LiveState::Exited { started_at, exit: core_exit(exit) },
        (None, Status::Running) => LiveState::Running { started_at: started_at.unwrap_or_else(wall) },
        (None, _) => LiveState::Created,
    };
    Some(AdoptedContainer { id, state })
}

/// The time of something that happened so many ticks after the boot.
fn since_boot(ticks: u64) -> Timestamp {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
    Timestamp::from_millis(boot.unwrap_or(0).saturating_mul(1000))
        .plus(Duration::from_millis(ticks * 1000 / TICKS))
}

impl Waiting {
    /// Asks again until all have answered; then waits for the end.
    pub(crate) async fn run(mut self, tools: Arc<Tools>, facts: mpsc::Sender<Fact>, stop: CancellationToken) {
        while !self.pods.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => return,
            }
            let addresses = addresses(&tools).await;
            for (uid, state) in tools.runtime.pods().await {
                let Ok(state) = state else { continue };
                if self.pods.remove(&uid) {
                    info!(pod.uid = %uid, "pod adopted after all");
                    let fact = adopted(&tools, None, &uid, &state, &addresses).await;
                    let _ = facts.send(Fact::Pod(uid.clone(), fact)).await;
                    let _ = facts.send(Fact::Pod(uid, PodFact::Idle)).await;
                }
            }
        }
        stop.cancelled().await;
    }
}
