//! What the node is: read from `/proc`, `/etc` and the file system of the data folder.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use gannet_agent_devices::Devices;
use gannet_protocols_model::{ByteSize, CpuMillis, NodeCondition, NodeInfo};

use crate::config::NodeSettings;

/// What the configuration says of the node.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) address: Ipv4Addr,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) settings: NodeSettings,
    pub(crate) devices: Arc<Devices>,
}

/// Gathers it.
pub(crate) fn gather(given: &Given, data_dir: &Path) -> NodeInfo {
    let memory = meminfo("MemTotal").unwrap_or(0);
    let (disk, disk_free) = disk_space(data_dir).unwrap_or((0, u64::MAX));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let available = meminfo("MemAvailable").unwrap_or(u64::MAX);
    let (reserved, eviction) = (given.settings.reserved, given.settings.eviction);
    NodeInfo {
        address: given.address,
        hostname: line("/proc/sys/kernel/hostname"),
        architecture: go_architecture(std::env::consts::ARCH).to_owned(),
        kernel: line("/proc/sys/kernel/osrelease"),
        os_image: os_image(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        machine_id: line("/etc/machine-id"),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        cpu: CpuMillis(cores * 1000),
        memory: ByteSize(memory),
        disk: ByteSize(disk),
        cpu_reserved: reserved.cpu,
        memory_reserved: reserved.memory_of(ByteSize(memory)),
        disk_reserved: reserved.disk_of(ByteSize(disk)),
        devices: given.devices.counts(),
        max_pods: given.settings.max_pods,
        labels: given.labels.clone(),
        conditions: vec![
            pressure(
                "MemoryPressure",
                available < eviction.memory_of(ByteSize(memory)).0,
                "KubeletHasInsufficientMemory",
                "KubeletHasSufficientMemory",
            ),
            pressure(
                "DiskPressure",
                disk_free < eviction.disk_available.of(disk),
                "KubeletHasDiskPressure",
                "KubeletHasNoDiskPressure",
            ),
            pressure("PIDPressure", false, "KubeletHasInsufficientPID", "KubeletHasSufficientPID"),
        ],
    }
}

/// Reasons are kubelet's own, since tools compare them.
fn pressure(kind: &str, holds: bool, bad: &str, good: &str) -> NodeCondition {
    let reason = if holds { bad } else { good };
    let message = match (kind, holds) {
        ("MemoryPressure", true) => "less memory is available than the node keeps free",
        ("MemoryPressure", false) => "the node has sufficient memory available",
        ("DiskPressure", true) => "less disk is free than the node keeps free",
        ("DiskPressure", false) => "the node has no disk pressure",
        _ => "the node has sufficient process ids available",
    };
    NodeCondition { kind: kind.to_owned(), holds, reason: reason.to_owned(), message: message.to_owned() }
}

/// The kernel's host name.
pub(crate) fn hostname() -> String {
    line("/proc/sys/kernel/hostname")
}

/// All memory of the machine.
pub(crate) fn memory() -> ByteSize {
    ByteSize(meminfo("MemTotal").unwrap_or(0))
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn meminfo(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kilobytes: u64 = rest.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// Bytes of a path's file system: all, and what is free for us.
pub(crate) fn disk_space(path: &Path) -> std::io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(path)?;
    Ok((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
}

fn os_image(os_release: &str) -> String {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    value.map_or_else(|| "Linux".to_owned(), |v| v.trim_matches('"').to_owned())
}

fn go_architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use gannet_agent_devices::Roots;

    use super::*;

    #[test]
    fn this_machine() {
        let given = Given {
            address: Ipv4Addr::LOCALHOST,
            labels: BTreeMap::from([("a".into(), "b".into())]),
            settings: NodeSettings::default(),
            devices: Arc::new(Devices::open(
                Vec::new(),
                Roots::default(),
                "/nowhere/a".into(),
                "/nowhere/b".into(),
            )),
        };
        let info = gather(&given, Path::new("/"));
        assert!(info.cpu.0 >= 1000 && info.memory.0 > 0 && info.disk.0 > 0, "{info:?}");
        assert!(info.memory_reserved < info.memory && !info.kernel.is_empty() && !info.boot_id.is_empty());
        assert_eq!(gather(&given, Path::new("/")), NodeInfo { conditions: info.conditions.clone(), ..info });
    }

    #[test]
    fn names_of_systems() {
        assert_eq!(
            os_image("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(os_image(""), "Linux");
    }
}
