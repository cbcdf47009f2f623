//! What is done now and then: look at the node, make room on the disk, note the time.

use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_model::{NodeCondition, NodeInfo};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::executor::chain;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::node_info::{Given, disk_space, gather};
use crate::room::Room;

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
    pub(crate) room: Room,
    pub(crate) conditions: watch::Receiver<Vec<NodeCondition>>,
    pub(crate) info: watch::Sender<NodeInfo>,
}

impl Housekeeping {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut noted = self.clock.now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                // Whoever tells of conditions lives as long as this.
                Ok(()) = self.conditions.changed() => {
                    self.look();
                    continue;
                }
                () = stop.cancelled() => return,
            }
            self.look();
            if self.is_disk_high() {
                self.room.remove_images().await;
            }
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
        let conditions = self.conditions.borrow().clone();
        let info = NodeInfo { conditions, ..gather(&self.given, &self.layout.data) };
        self.info.send_if_modified(|last| {
            let new = *last != info;
            if new {
                *last = info;
            }
            new
        });
    }

    fn is_disk_high(&self) -> bool {
        disk_space(&self.layout.data).is_ok_and(|(size, free)| free < size / 100 * (100 - DISK_HIGH_PERCENT))
    }
}
