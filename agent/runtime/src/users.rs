//! Users of the node for pods with users of their own: blocks of 65,536, each of one pod at a time.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use gannet_agent_shim::IdRange;
use gannet_protocols_model::PodUid;

use crate::runtime::{Runtime, lock};

/// As many as every pod has under kubelet.
const BLOCK: u32 = 65_536;

impl Runtime {
    /// Where the network namespace of a pod with users of its own is mounted, once [`Self::ensure_pod`] has made it.
    pub fn network_namespace(&self, uid: &PodUid) -> PathBuf {
        self.layout(uid).namespace("net")
    }

    /// Where the user namespace of a pod with users of its own is mounted, once [`Self::ensure_pod`] has made it.
    pub fn user_namespace(&self, uid: &PodUid) -> PathBuf {
        self.layout(uid).namespace("user")
    }

    /// Users for a pod: those that it has, else a block that nobody else has, kept for it until it is removed. None where
    /// all are taken. Waits for the disk.
    pub fn users(&self, uid: &PodUid) -> Option<IdRange> {
        let others = held_by_others();
        let pods = lock(&self.inner.pods);
        let mut reserved = lock(&self.inner.users);
        let of_pod = pods.get(uid).and_then(|pod| pod.sandbox.users);
        if let Some(held) = of_pod.or_else(|| reserved.get(uid).copied()) {
            return Some(held);
        }
        let held = pods.values().filter_map(|pod| pod.sandbox.users).chain(reserved.values().copied());
        let free = first_free(&held.map(|range| range.first).collect(), &others)?;
        reserved.insert(uid.clone(), free);
        Some(free)
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&self, uid: &PodUid) {
        lock(&self.inner.pods).remove(uid);
        lock(&self.inner.users).remove(uid);
    }
}

/// Reads what others of the node may have: users, groups, and the ranges for containers of theirs.
fn held_by_others() -> Vec<(u32, u32)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let accounts = ["/etc/passwd", "/etc/group"].map(read);
    let ranges = ["/etc/subuid", "/etc/subgid"].map(read);
    let accounts = accounts.iter().flat_map(|text| text.lines()).filter_map(account);
    accounts.chain(ranges.iter().flat_map(|text| text.lines()).filter_map(range)).collect()
}

/// `name:password:number:…`
fn account(line: &str) -> Option<(u32, u32)> {
    line.split(':').nth(2)?.trim().parse().ok().map(|id| (id, 1))
}

/// `name:first:count`
fn range(line: &str) -> Option<(u32, u32)> {
    let mut fields = line.split(':').skip(1).map(|field| field.trim().parse().ok());
    Some((fields.next()??, fields.next()??))
}

/// The first block that no pod has, and nobody else some of. None where there is no such block.
fn first_free(pods: &BTreeSet<u32>, others: &[(u32, u32)]) -> Option<IdRange> {
    let meets = |first: u32| {
        let (first, end) = (u64::from(first), u64::from(first) + u64::from(BLOCK));
        move |&(other, count): &(u32, u32)| {
            u64::from(other) < end && first < u64::from(other) + u64::from(count)
        }
    };
    // Not the first, which is the node's own, nor the last, which holds the number that stands for nobody.
    (1..u32::MAX / BLOCK)
        .map(|number| number * BLOCK)
        .find(|&first| !pods.contains(&first) && !others.iter().any(meets(first)))
        .map(|first| IdRange { first, count: BLOCK })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let check = |pods: &[u32], others: &[(u32, u32)], expect: u32| {
            let found = first_free(&pods.iter().copied().collect(), others);
            assert_eq!(found, Some(IdRange { first: expect, count: 65_536 }), "{pods:?} {others:?}");
        };
        check(&[], &[], 65_536);
        check(&[65_536], &[], 131_072);
        check(&[131_072], &[], 65_536);
        // A user of the node in the first one; a range that begins before and ends in the second.
        check(&[], &[(70_000, 1), (100_000, 65_536)], 196_608);
        check(&[], &[(65_535, 1)], 65_536);
        check(&[], &[(131_072, 10)], 65_536);
        check(&[], &[(0, u32::MAX / 2)], 2_147_483_648);
        assert_eq!(first_free(&BTreeSet::new(), &[(0, u32::MAX)]), None);
    }

    #[test]
    fn lines() {
        assert_eq!(account("daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin"), Some((1, 1)));
        assert_eq!(range("user:100000:65536"), Some((100_000, 65_536)));
        for bad in ["", "user", "user:x", "user:1", "user:1:x"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
