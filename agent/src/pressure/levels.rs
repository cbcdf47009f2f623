//! What is free, what should be, and the bound on the memory of all pods together.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gannet_agent_core::{Level, Signal};
use gannet_agent_stats::{Hierarchies, Version, disk_space, memory, pids};
use gannet_protocols_model::ByteSize;
use tracing::{debug, warn};

use crate::config::Eviction;

/// Available memory below which pods go, as kubelet has it; of small machines a tenth, since that is more than all of
/// their memory that is not in use.
const MEMORY: u64 = 100 << 20;

/// How much there is of each, and how much there should be. Waits for the kernel. What cannot be measured is left out.
pub(super) fn levels(limits: &Eviction, data: &Path) -> BTreeMap<Signal, Level> {
    let mut levels = BTreeMap::new();
    if let Ok(memory) = memory() {
        let total = memory.total.0;
        let least = limits.memory_available.map_or_else(|| MEMORY.min(total / 10), |amount| amount.of(total));
        levels.insert(Signal::Memory, Level { available: memory.available.0, least });
    }
    if let Ok(disk) = disk_space(data) {
        let least = limits.disk_available.of(disk.total.0);
        levels.insert(Signal::Disk, Level { available: disk.free.0, least });
        // Some file systems make inodes as they need them.
        if disk.inodes > 0 {
            let least = limits.inodes_free.of(disk.inodes);
            levels.insert(Signal::Inodes, Level { available: disk.inodes_free, least });
        }
    }
    if let Ok(pids) = pids() {
        let least = limits.pids_available.of(pids.max);
        levels.insert(Signal::Pids, Level { available: pids.max.saturating_sub(pids.used), least });
    }
    levels
}

/// Bounds the memory of all pods together by what is not reserved, as kubelet does (`enforceNodeAllocatable: [pods]`): what
/// goes beyond it ends in a pod, not in the system. Waits for the kernel.
pub(crate) fn limit_pods(all: ByteSize, reserved: ByteSize) {
    let limit = all.0.saturating_sub(reserved.0);
    let Ok(hierarchies) = Hierarchies::find() else { return };
    let Some((folder, version)) = hierarchies.folder("memory", "/gannet") else { return };
    let file = folder.join(match version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    });
    if version == Version::V2 {
        // Groups below the root have the controller's files only where the root passes it on.
        let _ = fs::write(folder.with_file_name("cgroup.subtree_control"), "+memory");
    }
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, limit.to_string()));
    match written {
        Ok(()) => debug!(limit, path = %file.display(), "memory of all pods bounded"),
        Err(error) => warn!(%error, path = %file.display(), "memory of all pods together is not bounded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Amount, NodeSettings};

    #[test]
    fn this_machine() {
        let usual = NodeSettings::default().eviction;
        let found = levels(&usual, Path::new("/"));
        assert!(found[&Signal::Memory].available > 0 && found[&Signal::Pids].least > 0, "{found:?}");
        assert!(found[&Signal::Memory].least <= MEMORY);
        let all = Eviction {
            memory_available: Some(Amount::Percent(100)),
            disk_available: Amount::Percent(100),
            ..usual
        };
        let found = levels(&all, Path::new("/"));
        assert!(found[&Signal::Memory].is_short() && found[&Signal::Disk].is_short(), "{found:?}");
        assert_eq!(levels(&usual, Path::new("/no/such/path")).len(), 2);
    }
}
