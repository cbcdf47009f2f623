//! Whether this hub leads, as controllers need it: a leader that has applied everything committed before it led, and that
//! a majority has lately heard.

use std::time::Duration;

use openraft::{RaftMetrics, ServerState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::raft::Raft;

type Metrics = RaftMetrics<u64, openraft::BasicNode>;

/// A reign: its term, and the log index that must have been applied before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reign {
    term: u64,
    floor: Option<u64>,
}

/// Keeps `leads` current until `stop`. Silent peers are noticed after `lease`.
pub(crate) async fn run(raft: Raft, leads: watch::Sender<bool>, lease: Duration, stop: CancellationToken) {
    let mut metrics = raft.metrics();
    let mut reign = None;
    loop {
        let led = {
            let now = metrics.borrow_and_update();
            reign = next_reign(reign, &now);
            counts(reign, &now, lease)
        };
        leads.send_if_modified(|before| std::mem::replace(before, led) != led);
        tokio::select! {
            () = stop.cancelled() => break,
            changed = metrics.changed() => if changed.is_err() { break },
            // The age of the last answer grows without a change of the metrics.
            () = tokio::time::sleep(lease) => {}
        }
    }
    leads.send_replace(false);
}

fn next_reign(reign: Option<Reign>, now: &Metrics) -> Option<Reign> {
    if now.state != ServerState::Leader || now.running_state.is_err() {
        return None;
    }
    reign
        .filter(|reign| reign.term == now.current_term)
        .or(Some(Reign { term: now.current_term, floor: now.last_log_index }))
}

fn counts(reign: Option<Reign>, now: &Metrics, lease: Duration) -> bool {
    let Some(reign) = reign else { return false };
    let alone = now.membership_config.membership().voter_ids().count() <= 1;
    let heard = now.millis_since_quorum_ack.is_some_and(|ms| Duration::from_millis(ms) <= lease);
    now.last_applied.map(|id| id.index) >= reign.floor && (alone || heard)
}
