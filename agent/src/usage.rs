//! What the node and its pods use, sampled when somebody asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gannet_agent_core::ContainerId;
use gannet_agent_stats::{ContainerTarget, Hierarchies, Sampler, Target};
use gannet_protocols_model::{ContainerState, NodeUsage, PodStatus, PodUid};
use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::layout::Layout;
use crate::logs::Statuses;

/// An answer that is not older is good enough for terminals and the hub.
pub(crate) const FRESH: Duration = Duration::from_secs(5);
/// A sample that is older says nothing of the present: what the processors did since then is another story.
const OLDEST: Duration = Duration::from_secs(60);
/// A rate over less than this is mostly noise.
const WINDOW: Duration = Duration::from_millis(500);

/// Samples on demand; clones share the last answer.
#[derive(Debug, Clone)]
pub(crate) struct UsageSource {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    clock: Clock,
    statuses: watch::Receiver<Statuses>,
    begun: Instant,
    /// Who asks while another's samples are taken waits for those.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sampler: Option<Sampler>,
    answer: Option<(Instant, Arc<NodeUsage>)>,
}

/// Nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[error("what the node uses cannot be measured")]
pub(crate) struct UsageError(#[source] std::io::Error);

impl UsageSource {
    pub(crate) fn new(layout: Layout, clock: Clock, statuses: watch::Receiver<Statuses>) -> Self {
        let (begun, state) = (Instant::now(), Mutex::default());
        Self { inner: Arc::new(Inner { layout, clock, statuses, begun, state }) }
    }

    /// An answer that is at most so old. The first in a minute takes half a second, since a rate needs two samples.
    pub(crate) async fn latest(&self, max_age: Duration) -> Result<Arc<NodeUsage>, UsageError> {
        let mut state = self.inner.state.lock().await;
        if let Some((_, answer)) = state.answer.as_ref().filter(|(at, _)| at.elapsed() <= max_age) {
            return Ok(Arc::clone(answer));
        }
        let mut sampler = match state.sampler.take() {
            Some(sampler) => sampler,
            None => {
                let hierarchies = Hierarchies::find().map_err(UsageError)?;
                Sampler::new(hierarchies, self.inner.layout.data.clone())
            }
        };
        let since = self.inner.begun;
        let age = sampler.last().map(|last| since.elapsed().saturating_sub(last));
        if age.is_none_or(|age| age > OLDEST) {
            let inner = Arc::clone(&self.inner);
            sampler = blocking(move || {
                sampler.note(&inner.targets(), since.elapsed());
                sampler
            })
            .await?;
            tokio::time::sleep(WINDOW).await;
        } else if let Some(rest) = age.and_then(|age| WINDOW.checked_sub(age)) {
            tokio::time::sleep(rest).await;
        }
        let inner = Arc::clone(&self.inner);
        let (sampler, usage) = blocking(move || {
            let usage = sampler.sample(&inner.targets(), since.elapsed(), inner.clock.now());
            (sampler, Arc::new(usage))
        })
        .await?;
        state.sampler = Some(sampler);
        state.answer = Some((Instant::now(), Arc::clone(&usage)));
        Ok(usage)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, UsageError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| UsageError(std::io::Error::other(e)))
}

impl Inner {
    fn targets(&self) -> Vec<Target> {
        let statuses = self.statuses.borrow().clone();
        statuses.values().map(|status| target(&self.layout, status)).collect()
    }
}

/// Where a pod's use can be read. Waits for the disk.
pub(crate) fn target(layout: &Layout, status: &PodStatus) -> Target {
    let runs = runs(layout, &status.uid);
    let running = status.init_containers.iter().chain(&status.containers);
    let running = running.filter(|c| matches!(c.state, ContainerState::Running { .. }));
    let container = |name: &String| {
        let id = runs.iter().filter(|id| id.name == *name).max_by_key(|id| id.attempt)?;
        let folders = vec![layout.container(&status.uid, id).join("upper"), layout.logs(&status.uid, name)];
        Some(ContainerTarget { name: name.clone(), cgroup: cgroup(&status.uid, id), folders })
    };
    Target {
        uid: status.uid.clone(),
        namespace: status.namespace.clone(),
        name: status.name.clone(),
        containers: running.filter_map(|c| container(&c.name)).collect(),
        volumes: volumes(layout, &status.uid),
    }
}

/// The cgroup of a run, below the root of each hierarchy.
fn cgroup(pod: &PodUid, id: &ContainerId) -> String {
    format!("/gannet/{pod}/{id}")
}

/// Volumes that are in memory are file systems of their own, and not counted there.
fn volumes(layout: &Layout, pod: &PodUid) -> Vec<PathBuf> {
    vec![layout.pod(pod).join("volumes")]
}

/// The runs of a pod of which something is on the disk.
fn runs(layout: &Layout, pod: &PodUid) -> Vec<ContainerId> {
    let entries = std::fs::read_dir(layout.containers(pod)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
