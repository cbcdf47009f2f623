//! When snapshots are made, beyond Raft's own count of entries: after a time, and after so many bytes of log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::raft::{LogId, Raft};

/// Entries hold up to 512 transactions, so their number alone does not bound the log.
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// A snapshot asked for while another is being written is forgotten, so it is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Asks for snapshots until `stop`. `appended` counts the bytes that went into the log.
pub(crate) async fn run(raft: Raft, every: Duration, appended: Arc<AtomicU64>, stop: CancellationToken) {
    let mut last = Instant::now();
    let mut last_bytes = appended.load(Ordering::Relaxed);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CHECK_EVERY.min(every)) => {}
        }
        let bytes = appended.load(Ordering::Relaxed);
        let long_ago = last.elapsed() >= every && changed(&raft);
        if !long_ago && bytes - last_bytes < MAX_LOG_BYTES {
            continue;
        }
        (last, last_bytes) = (Instant::now(), bytes);
        if let Err(e) = raft.trigger().snapshot().await {
            tracing::warn!(error = %e, "cannot have a snapshot made");
        }
    }
}

fn changed(raft: &Raft) -> bool {
    let metrics = raft.metrics();
    let now = metrics.borrow();
    now.last_applied > now.snapshot
}

/// Has a snapshot made that holds `applied`, and waits for it. Gives why it cannot.
pub(crate) async fn make_now(raft: &Raft, applied: Option<LogId>) -> Result<(), String> {
    let mut metrics = raft.metrics();
    loop {
        raft.trigger().snapshot().await.map_err(|e| e.to_string())?;
        match tokio::time::timeout(ASK_AGAIN, metrics.wait_for(|now| now.snapshot >= applied)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(e)) => return Err(e.to_string()),
            Err(_) => {}
        }
    }
}
