//! What is done now and then: look at the node, make room on the disk, note the time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gannet_agent_core::Fact;
use gannet_images::ImageStore;
use gannet_protocols_model::{Digest, NodeInfo};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::executor::chain;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::logs::Statuses;
use crate::node_info::{Given, disk_space, gather};

/// How often the node is looked at.
const PERIOD: Duration = Duration::from_secs(60);
/// Images that nobody uses go where more than this many percent of the disk are used, as with kubelet.
const DISK_HIGH_PERCENT: u64 = 85;
/// The time is noted this often: a few bytes of flash a day.
const NOTE_TIME: Duration = Duration::from_secs(12 * 3600);

/// Works with.
pub(crate) struct Housekeeping {
    pub(crate) given: Given,
    pub(crate) layout: Layout,
    pub(crate) clock: Clock,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) images: ImageStore,
    pub(crate) statuses: watch::Receiver<Statuses>,
    pub(crate) facts: mpsc::Sender<Fact>,
    pub(crate) info: watch::Sender<NodeInfo>,
}

impl Housekeeping {
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut noted = self.clock.now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.cancelled() => return,
            }
            self.look();
            self.make_room().await;
            let now = self.clock.now();
            if now.since(noted) >= NOTE_TIME {
                noted = now;
                if let Err(error) = self.ledger.numbers.raise_time(now) {
                    warn!(error = chain(&error), "time is not noted");
                }
            }
        }
    }

    fn look(&self) {
        let info = gather(&self.given, &self.layout.data);
        self.info.send_if_modified(|last| {
            let new = *last != info;
            if new {
                *last = info;
            }
            new
        });
    }

    async fn make_room(&self) {
        let Ok((size, free)) = disk_space(&self.layout.data) else { return };
        if free >= size / 100 * (100 - DISK_HIGH_PERCENT) {
            return;
        }
        let in_use: BTreeSet<Digest> = self.used_images();
        let store = self.images.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let removed = store.remove_unused(&in_use)?;
            let names =
                store.list().into_iter().filter_map(|(name, image)| Some((name.parse().ok()?, image.digest)));
            Ok::<_, gannet_images::StoreError>((removed, names.collect()))
        })
        .await;
        match removed {
            Ok(Ok((removed, local))) if removed.images > 0 => {
                info!(images = removed.images, layers = removed.layers, "unused images removed");
                let _ = self.facts.send(Fact::ImagesHere { local }).await;
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn!(error = chain(&error), "unused images are not removed"),
            Err(error) => warn!(%error, "unused images are not removed"),
        }
    }

    /// Images of pods that run, and of pods that should.
    fn used_images(&self) -> BTreeSet<Digest> {
        let statuses = self.statuses.borrow().clone();
        let running = statuses
            .values()
            .flat_map(|p| p.init_containers.iter().chain(&p.containers))
            .filter_map(|c| c.image_id);
        let mut used: BTreeSet<Digest> = running.collect();
        if let Some((desired, _)) = self.ledger.desired() {
            let manifests = desired.pods.iter().filter_map(|pod| self.ledger.manifest(&pod.manifest));
            for manifest in manifests {
                let found =
                    manifest.all_containers().filter_map(|c| self.images.get(&c.image).map(|i| i.digest));
                used.extend(found);
            }
        }
        used
    }
}
