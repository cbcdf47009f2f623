//! What the whole machine has, and what of it is free. Cheap: a file or a system call each.

use std::fs;
use std::io;
use std::path::Path;

use gannet_protocols_model::ByteSize;

/// The machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// All of it.
    pub total: ByteSize,
    /// What a new process could have without swapping: files' pages can be taken back.
    pub available: ByteSize,
}

impl Memory {
    /// What cannot be taken back.
    pub fn used(self) -> ByteSize {
        ByteSize(self.total.0.saturating_sub(self.available.0))
    }
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskSpace {
    /// All of it.
    pub total: ByteSize,
    /// What can still be written by those who are not root.
    pub free: ByteSize,
    /// All inodes; 0 where the file system makes them as it needs them.
    pub inodes: u64,
    /// Those that are free.
    pub inodes_free: u64,
}

impl DiskSpace {
    /// What is written.
    pub fn used(self) -> ByteSize {
        ByteSize(self.total.0.saturating_sub(self.free.0))
    }
}

/// Process ids, of which every thread has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pids {
    /// Given out.
    pub used: u64,
    /// As many as there can be.
    pub max: u64,
}

/// The machine's memory.
///
/// # Errors
/// `/proc` is not there.
pub fn memory() -> io::Result<Memory> {
    parse_meminfo(&fs::read_to_string("/proc/meminfo")?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal"))
}

/// The memory that a new process could have.
///
/// # Errors
/// As [`memory`].
pub fn memory_available() -> io::Result<ByteSize> {
    memory().map(|m| m.available)
}

/// The file system that a path lies on.
///
/// # Errors
/// It cannot be asked.
pub fn disk_space(path: &Path) -> io::Result<DiskSpace> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(DiskSpace {
        total: ByteSize(stat.f_blocks.saturating_mul(stat.f_frsize)),
        free: ByteSize(stat.f_bavail.saturating_mul(stat.f_frsize)),
        inodes: stat.f_files,
        inodes_free: stat.f_favail,
    })
}

/// The machine's process ids.
///
/// # Errors
/// `/proc` is not there.
pub fn pids() -> io::Result<Pids> {
    let read = |path: &str| fs::read_to_string(path);
    let number = |text: String| text.trim().parse::<u64>().ok();
    let used = parse_loadavg(&read("/proc/loadavg")?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/loadavg has no count of threads"))?;
    let limits = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];
    let max = limits.iter().filter_map(|path| number(read(path).ok()?)).min().unwrap_or(u64::MAX);
    Ok(Pids { used, max })
}

/// Processor time of all cores since the boot, in clock ticks: what was not idle.
pub(crate) fn busy_ticks() -> Option<u64> {
    parse_stat(&fs::read_to_string("/proc/stat").ok()?)
}

fn parse_meminfo(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kilobytes: u64 = rest.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(ByteSize(kilobytes.saturating_mul(1024)))
    };
    let total = field("MemTotal")?;
    // Kernels before 3.14 do not say.
    let available = field("MemAvailable").or_else(|| field("MemFree"))?;
    Some(Memory { total, available })
}

fn parse_loadavg(text: &str) -> Option<u64> {
    text.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// `cpu user nice system idle iowait irq softirq steal guest guest_nice`: guests are in user and nice already.
fn parse_stat(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = line.split_whitespace().take(8).map(|n| n.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    let busy = ticks.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    Some(busy.map(|(_, n)| *n).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_texts() {
        let meminfo =
            "MemTotal:        3884320 kB\nMemFree:          120412 kB\nMemAvailable:    2601132 kB\n";
        let memory = parse_meminfo(meminfo).unwrap();
        assert_eq!((memory.total.0, memory.available.0), (3_884_320 << 10, 2_601_132 << 10));
        assert_eq!(memory.used().0, (3_884_320 - 2_601_132) << 10);
        let old = parse_meminfo("MemTotal: 100 kB\nMemFree: 40 kB\n").unwrap();
        assert_eq!(old.available.0, 40 << 10);
        assert_eq!(parse_meminfo("MemFree: 40 kB\n"), None);
        assert_eq!(parse_loadavg("0.52 0.58 0.59 2/814 30211\n"), Some(814));
        assert_eq!(parse_loadavg("0.52\n"), None);
        let stat = "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 50 10 15 2000 250 3 3 4 45 5\n";
        assert_eq!(parse_stat(stat), Some(100 + 20 + 30 + 6 + 7 + 8));
        assert_eq!(parse_stat("intr 1\n"), None);
    }

    #[test]
    fn this_machine() {
        let memory = memory().unwrap();
        assert!(memory.available.0 > 0 && memory.available <= memory.total);
        let disk = disk_space(Path::new("/")).unwrap();
        assert!(disk.total.0 > 0 && disk.free <= disk.total && disk.inodes_free <= disk.inodes);
        let pids = pids().unwrap();
        assert!(pids.used > 0 && pids.used < pids.max, "{pids:?}");
        assert!(busy_ticks().unwrap() > 0);
        assert!(disk_space(Path::new("/no/such/path")).is_err());
    }
}
