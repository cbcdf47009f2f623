//! What the configuration says of the node's own share, its limits and its devices; and the defaults, which are meant for
//! gateways: kubelet's take a quarter of a small machine.

use std::path::PathBuf;

use gannet_agent_devices::DeviceClass;
use gannet_protocols_model::{ByteSize, CpuMillis};

use super::amount::Amount;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeSettings {
    /// Kept free of pods.
    pub(crate) reserved: Reserved,
    /// When the node is short of something.
    pub(crate) eviction: Eviction,
    /// Containers' logs.
    pub(crate) logs: Logs,
    /// Pods at most.
    pub(crate) max_pods: u32,
    /// Processes and threads of a container at most.
    pub(crate) pod_pids_limit: u32,
    /// Where the profiles of `seccompProfile: Localhost` lie.
    pub(crate) seccomp_dir: PathBuf,
    /// What pods may ask for.
    pub(crate) devices: Vec<DeviceClass>,
}

/// For the system and the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) cpu: CpuMillis,
    /// The default depends on how much there is.
    pub(crate) memory: Option<Amount>,
    pub(crate) disk: Amount,
}

/// Less than this is pressure. Amounts are of the whole of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// The default depends on how much there is.
    pub(crate) memory_available: Option<Amount>,
    pub(crate) disk_available: Amount,
    pub(crate) inodes_free: Amount,
    pub(crate) pids_available: Amount,
}

/// Containers' logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Logs {
    /// Of a file, before the next is begun.
    pub(crate) max_size: ByteSize,
    /// Of a container, with the present one.
    pub(crate) max_files: u32,
    /// Of all containers of the node; of the data folder's disk.
    pub(crate) total: Amount,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            reserved: Reserved { cpu: CpuMillis(0), memory: None, disk: Amount::Percent(5) },
            eviction: Eviction {
                memory_available: None,
                disk_available: Amount::Percent(5),
                inodes_free: Amount::Percent(5),
                pids_available: Amount::Percent(5),
            },
            logs: Logs { max_size: ByteSize(10 << 20), max_files: 3, total: Amount::Of(256 << 20) },
            // As kubelet has it.
            max_pods: 110,
            // Far more than a gateway's programs use, far fewer than a fork bomb makes.
            pod_pids_limit: 4096,
            seccomp_dir: PathBuf::from("/etc/gannet/seccomp"),
            devices: Vec::new(),
        }
    }
}

impl Reserved {
    /// CPU is shared by weight, so the agent and the system's daemons get theirs without a reserve. Of memory a tenth, and
    /// 64 MiB at the most: so much do a small Linux and the agent need.
    pub(crate) fn memory_of(&self, all: ByteSize) -> ByteSize {
        let most = Amount::Of(64 << 20).of(all.0 / 10);
        ByteSize(self.memory.map_or(most, |amount| amount.of(all.0)))
    }

    pub(crate) fn disk_of(&self, all: ByteSize) -> ByteSize {
        ByteSize(self.disk.of(all.0))
    }
}

impl Logs {
    /// A number of bytes that is more than a twentieth of the disk was not meant for so small a disk.
    pub(crate) fn total_of(&self, disk: ByteSize) -> ByteSize {
        ByteSize(match self.total {
            Amount::Of(bytes) => bytes.min(disk.0 / 20),
            percent @ Amount::Percent(_) => percent.of(disk.0),
        })
    }
}

impl Eviction {
    /// kubelet's 100 MiB, but a tenth where that is less.
    pub(crate) fn memory_of(&self, all: ByteSize) -> ByteSize {
        let least = Amount::Of(100 << 20).of(all.0 / 10);
        ByteSize(self.memory_available.map_or(least, |amount| amount.of(all.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fit_the_machine() {
        let settings = NodeSettings::default();
        let memory = |mebibytes: u64| {
            let all = ByteSize(mebibytes << 20);
            (settings.reserved.memory_of(all).0 >> 20, settings.eviction.memory_of(all).0 >> 20)
        };
        assert_eq!(memory(256), (25, 25));
        assert_eq!(memory(512), (51, 51));
        assert_eq!(memory(4096), (64, 100));
        assert_eq!(settings.reserved.disk_of(ByteSize(1000)), ByteSize(50));
        let given = Reserved { memory: Some(Amount::Percent(50)), ..settings.reserved };
        assert_eq!(given.memory_of(ByteSize(1000)), ByteSize(500));
    }
}
