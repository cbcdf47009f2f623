//! Which of the nodes that fit is the best.

use super::fit::NodeFree;

/// The place of a node in the order of preference; the least is the best: the fewest pods of the same owner, then the
/// least used, then the first by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score<'n> {
    siblings: usize,
    /// Thousandths of cpu and memory in use, together.
    used: u64,
    pods: u64,
    pub(super) node: &'n str,
}

impl<'n> Score<'n> {
    pub(super) fn of(node: &'n str, free: &NodeFree<'_>, siblings: usize) -> Self {
        let share = |resource: &str| {
            let all = free.allocatable.get(resource).copied().unwrap_or(0).max(1);
            let used = free.used.get(resource).copied().unwrap_or(0);
            u64::try_from(u128::from(used) * 1000 / u128::from(all)).unwrap_or(u64::MAX)
        };
        Self { siblings, used: share("cpu").saturating_add(share("memory")), pods: free.pods, node }
    }
}
