//! A hub that was restored behind what it once acknowledged must not help to elect a leader that lacks the same entries.
//! So it neither votes nor stands, over restarts too, until a leader has brought it up to everything committed.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::raft::AppendEntriesRequest;

use crate::raft::TypeConfig;

#[derive(Debug)]
pub(crate) struct CatchUp {
    active: AtomicBool,
    marker: PathBuf,
}

impl CatchUp {
    pub(crate) fn new(marker: PathBuf) -> Self {
        Self { active: AtomicBool::new(marker.exists()), marker }
    }

    pub(crate) fn active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Does this append, once accepted, bring us up to everything that is committed? Only a leader that has committed in
    /// its own term knows what that is.
    pub(crate) fn completes(request: &AppendEntriesRequest<TypeConfig>) -> bool {
        let Some(commit) = request.leader_commit else { return false };
        let covered = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        commit.leader_id == request.vote.leader_id && covered >= Some(commit)
    }

    /// Ends the abstention. Gives whether it was active.
    pub(crate) fn end(&self) -> bool {
        if !self.active.swap(false, Ordering::AcqRel) {
            return false;
        }
        if let Err(e) = fs::remove_file(&self.marker) {
            tracing::warn!(path = %self.marker.display(), error = %e, "cannot remove the mark of a restored hub");
        }
        tracing::info!("caught up with the other hubs; voting again");
        true
    }
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload};

    use super::*;
    use crate::raft::{Entry, LogId, Vote};

    #[test]
    fn what_completes() {
        let id = |term, index| LogId::new(CommittedLeaderId::new(term, 1), index);
        let check = |prev: Option<LogId>, entries: &[LogId], commit: Option<LogId>, expected: bool| {
            let entries =
                entries.iter().map(|id| Entry { log_id: *id, payload: EntryPayload::Blank }).collect();
            let vote = Vote::new_committed(5, 1);
            let request = AppendEntriesRequest { vote, prev_log_id: prev, entries, leader_commit: commit };
            assert_eq!(CatchUp::completes(&request), expected, "{request:?}");
        };
        check(Some(id(5, 9)), &[], Some(id(5, 9)), true);
        check(Some(id(5, 8)), &[id(5, 9)], Some(id(5, 9)), true);
        check(Some(id(5, 7)), &[id(5, 8)], Some(id(5, 9)), false);
        // A new leader does not know yet what its predecessor committed.
        check(Some(id(4, 9)), &[], Some(id(4, 9)), false);
        check(None, &[], None, false);
    }
}
