//! The task.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gannet_agent_core::{
    DesiredPod, DesiredWorld, Fact, Level, PodDisk, PodEnd, PodFact, Pressure, Signal, has_limits,
    over_limit, victim,
};
use gannet_agent_stats::{FOLDER_ENTRIES, folder_usage};
use gannet_protocols_model::{
    ByteSize, ContainerState, NodeCondition, PodStatus, PodUid, Timestamp, VolumeSource,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::levels::levels;
use crate::clock::Clock;
use crate::config::Eviction;
use crate::executor::chain;
use crate::layout::Layout;
use crate::logs::Statuses;
use crate::room::Room;
use crate::usage::{self, UsageSource};

/// How often it looks, as kubelet does.
const PERIOD: Duration = Duration::from_secs(10);
/// How often it looks while less than twice the memory that should be is free: programs fill the rest in no time.
const PERIOD_LOW: Duration = Duration::from_secs(1);
/// A pod that was told to go gets this long before another is.
const ONE_AT_A_TIME: Duration = Duration::from_secs(30);
/// Figures of pods are not older than this.
const FRESH: Duration = Duration::from_secs(2);
/// As many entries of a pod's folder are counted: it must not pass as small for having many little files.
const ENTRIES: usize = 10 * FOLDER_ENTRIES;
/// The disks of pods are looked at so seldom that it takes no more than a fiftieth of the time.
const DISK_SHARE: u32 = 50;

/// Works with.
pub(crate) struct PressureTask {
    pub(crate) layout: Layout,
    pub(crate) clock: Clock,
    pub(crate) limits: Eviction,
    pub(crate) usage: UsageSource,
    pub(crate) room: Room,
    pub(crate) world: watch::Receiver<Arc<DesiredWorld>>,
    pub(crate) statuses: watch::Receiver<Statuses>,
    pub(crate) facts: mpsc::Sender<Fact>,
    pub(crate) conditions: watch::Sender<Vec<NodeCondition>>,
}

/// What it remembers from one look to the next.
#[derive(Default)]
struct Before {
    pressure: Pressure,
    /// Told to go, and when.
    going: Option<(PodUid, Instant)>,
    memory_is_low: bool,
    /// The disks of pods are not looked at before.
    next_disks: Option<Instant>,
}

impl PressureTask {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut before = Before::default();
        loop {
            tokio::select! {
                () = self.look(&mut before) => {}
                () = stop.cancelled() => return,
            }
            let period = if before.memory_is_low { PERIOD_LOW } else { PERIOD };
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&self, before: &mut Before) {
        let mut levels = self.levels().await;
        let short =
            |levels: &BTreeMap<Signal, Level>, of: Signal| levels.get(&of).is_some_and(|l| l.is_short());
        if short(&levels, Signal::Disk) || short(&levels, Signal::Inodes) {
            self.room.remove_old_logs().await;
            self.room.remove_images().await;
            levels = self.levels().await;
        }
        let low = |level: &Level| level.available / 2 < level.least && !level.is_short();
        before.memory_is_low = levels.get(&Signal::Memory).is_some_and(low);
        let now = self.clock.now();
        before.pressure.look(&levels, now);
        let conditions = before.pressure.conditions(now);
        self.conditions.send_if_modified(|last| {
            let new = *last != conditions;
            if new {
                *last = conditions;
            }
            new
        });
        self.end_over_limit(before, now).await;
        let going =
            before.going.take_if(|(uid, since)| !self.is_going(uid) || since.elapsed() > ONE_AT_A_TIME);
        if before.going.is_some() {
            return;
        }
        if let Some((uid, _)) = going {
            info!(pod.uid = %uid, "evicted pod has stopped, or does not");
        }
        for (signal, level) in levels.into_iter().filter(|(_, level)| level.is_short()) {
            if let Some((uid, end)) = self.victim(signal, level, now).await {
                before.going = Some((uid.clone(), Instant::now()));
                return self.end(uid, end).await;
            }
        }
    }

    async fn levels(&self) -> BTreeMap<Signal, Level> {
        let (limits, data) = (self.limits, self.layout.data.clone());
        tokio::task::spawn_blocking(move || levels(&limits, &data)).await.unwrap_or_default()
    }

    /// Whether something of a pod still runs.
    fn is_going(&self, uid: &PodUid) -> bool {
        let statuses = self.statuses.borrow();
        let containers = statuses.get(uid).map(|s| s.init_containers.iter().chain(&s.containers));
        containers.into_iter().flatten().any(|c| matches!(c.state, ContainerState::Running { .. }))
    }

    async fn victim(&self, signal: Signal, level: Level, now: Timestamp) -> Option<(PodUid, PodEnd)> {
        let (world, statuses) = (self.world.borrow().clone(), self.statuses.borrow().clone());
        if world.pods.is_empty() {
            return None;
        }
        match self.usage.latest(FRESH).await {
            Ok(usage) => victim(signal, level, &world, &statuses, &usage, now),
            Err(error) => {
                warn!(error = chain(&error), ?signal, "node is short, and what pods use is not known");
                None
            }
        }
    }

    async fn end(&self, uid: PodUid, end: PodEnd) {
        warn!(pod.uid = %uid, message = end.message, "pod evicted");
        let _ = self.facts.send(Fact::Pod(uid, PodFact::Ended(end))).await;
    }

    /// Ends pods that took more disk than they may.
    async fn end_over_limit(&self, before: &mut Before, now: Timestamp) {
        if before.next_disks.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let (world, statuses) = (self.world.borrow().clone(), self.statuses.borrow().clone());
        let bounded = |pod: &&Arc<DesiredPod>| pod.manifest.as_deref().is_some_and(has_limits);
        let pods: Vec<Arc<DesiredPod>> = world.pods.values().filter(bounded).cloned().collect();
        if pods.is_empty() {
            return;
        }
        let (layout, begun) = (self.layout.clone(), Instant::now());
        let over = tokio::task::spawn_blocking(move || over(&layout, &pods, &statuses, now)).await;
        before.next_disks = Some(Instant::now() + (PERIOD / 2).max(begun.elapsed() * DISK_SHARE));
        for (uid, end) in over.unwrap_or_default() {
            self.end(uid, end).await;
        }
    }
}

/// The pods that took too much disk. Waits for the disk.
fn over(
    layout: &Layout,
    pods: &[Arc<DesiredPod>],
    statuses: &Statuses,
    now: Timestamp,
) -> Vec<(PodUid, PodEnd)> {
    let over = |pod: &Arc<DesiredPod>| {
        let uid = &pod.entry.uid;
        // One that was ended tells so by its reason.
        let status = statuses.get(uid).filter(|s| s.reason.is_none())?;
        let manifest = pod.manifest.as_deref()?;
        let on_disk = manifest
            .volumes
            .iter()
            .filter(|v| matches!(v.source, VolumeSource::EmptyDir { memory: false, .. }));
        let volumes = on_disk.map(|v| {
            let folder = layout.pod(uid).join("volumes").join(&v.name);
            (v.name.clone(), ByteSize(used(uid, &folder)))
        });
        let disk = PodDisk { volumes: volumes.collect(), containers: containers(layout, uid, status) };
        Some((uid.clone(), over_limit(manifest, &disk, now)?))
    };
    pods.iter().filter_map(over).collect()
}

fn containers(layout: &Layout, uid: &PodUid, status: &PodStatus) -> BTreeMap<String, ByteSize> {
    let target = usage::target(layout, status);
    let sum = |folders: &[PathBuf]| {
        ByteSize(folders.iter().map(|folder| used(uid, folder)).fold(0, u64::saturating_add))
    };
    target.containers.into_iter().map(|c| (c.name, sum(&c.folders))).collect()
}

/// What a folder takes, or at least takes.
fn used(uid: &PodUid, folder: &Path) -> u64 {
    match folder_usage(folder, ENTRIES) {
        Ok(usage) => {
            if !usage.complete {
                let (folder, counted) = (folder.display(), usage.inodes);
                warn!(pod.uid = %uid, %folder, counted, "too many files to count: the pod takes more disk than is known");
            }
            usage.bytes.0
        }
        Err(error) => {
            warn!(pod.uid = %uid, folder = %folder.display(), %error, "what the pod takes of the disk is not known");
            0
        }
    }
}
