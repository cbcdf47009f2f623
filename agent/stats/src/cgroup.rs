//! What the processes of a cgroup use.

use std::fs;
use std::path::Path;

use gannet_protocols_model::ByteSize;

use crate::hierarchies::{Hierarchies, Version};

/// Of one cgroup and those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CgroupUsage {
    /// Processor time since the cgroup was made.
    pub cpu_nanos: u64,
    /// The working set: all memory but the files' pages that were not used lately, as kubelet counts.
    pub memory: ByteSize,
    /// Processes and threads.
    pub pids: u64,
}

impl Hierarchies {
    /// What this cgroup uses; none where it is gone.
    pub fn usage(&self, cgroup: &str) -> Option<CgroupUsage> {
        let (cpu, version) = self.folder("cpuacct", cgroup)?;
        let cpu_nanos = match version {
            Version::V1 => number(&read(&cpu, "cpuacct.usage")?)?,
            Version::V2 => v2_cpu(&read(&cpu, "cpu.stat")?)?,
        };
        Some(CgroupUsage {
            cpu_nanos,
            memory: self.working_set(cgroup).unwrap_or_default(),
            pids: self.cgroup_pids(cgroup).unwrap_or(0),
        })
    }

    /// The working set of a cgroup.
    pub fn working_set(&self, cgroup: &str) -> Option<ByteSize> {
        let (memory, version) = self.folder("memory", cgroup)?;
        let (current, field) = match version {
            Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::V2 => ("memory.current", "inactive_file"),
        };
        let current = number(&read(&memory, current)?)?;
        Some(working_set(current, &read(&memory, "memory.stat").unwrap_or_default(), field))
    }

    fn cgroup_pids(&self, cgroup: &str) -> Option<u64> {
        let (pids, _) = self.folder("pids", cgroup)?;
        number(&read(&pids, "pids.current")?)
    }
}

fn read(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join(file)).ok()
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number behind a word, as in `inactive_file 4096`.
fn field(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

fn v2_cpu(cpu_stat: &str) -> Option<u64> {
    field(cpu_stat, "usage_usec")?.checked_mul(1000)
}

fn working_set(current: u64, memory_stat: &str, inactive: &str) -> ByteSize {
    ByteSize(current.saturating_sub(field(memory_stat, inactive).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a container on a kernel with v1.
    const V1_MEMORY: &str = "cache 2838528\nrss 1892352\nrss_huge 0\nmapped_file 1622016\ninactive_anon 0\n\
        active_anon 1622016\ninactive_file 135168\nactive_file 2703360\nunevictable 0\n\
        hierarchical_memory_limit 33554432\ntotal_cache 2838528\ntotal_rss 1892352\ntotal_inactive_anon 0\n\
        total_active_anon 1622016\ntotal_inactive_file 1081344\ntotal_active_file 1757184\n";
    /// The same on one with v2.
    const V2_MEMORY: &str = "anon 1540096\nfile 12288000\nkernel_stack 98304\nshmem 0\nfile_mapped 7299072\n\
        inactive_anon 1519616\nactive_anon 12288\ninactive_file 7172096\nactive_file 5115904\nunevictable 0\n";
    const V2_CPU: &str =
        "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\nnr_periods 12\nnr_throttled 3\n";

    #[test]
    fn recorded_texts() {
        assert_eq!(working_set(4_911_104, V1_MEMORY, "total_inactive_file"), ByteSize(4_911_104 - 1_081_344));
        assert_eq!(working_set(14_245_888, V2_MEMORY, "inactive_file"), ByteSize(14_245_888 - 7_172_096));
        assert_eq!(working_set(1, V2_MEMORY, "inactive_file"), ByteSize(0), "read at different moments");
        assert_eq!(working_set(5, "", "inactive_file"), ByteSize(5));
        assert_eq!(v2_cpu(V2_CPU), Some(1_234_567_000));
        assert_eq!(v2_cpu(""), None);
        assert_eq!(number("max\n"), None);
        assert_eq!(number("42\n"), Some(42));
    }

    /// A tree of files as a machine with this layout has them.
    fn machine(layout: &[(&str, &str)], mounts: &[(&str, &str, &str)]) -> (tempfile::TempDir, Hierarchies) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in layout {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let line = |(mount, kind, options): &(&str, &str, &str)| {
            format!("1 2 0:1 / {}/{mount} rw - {kind} {kind} {options}\n", dir.path().display())
        };
        let mountinfo: String = mounts.iter().map(line).collect();
        (dir, Hierarchies::parse(&mountinfo))
    }

    fn check(layout: &[(&str, &str)], mounts: &[(&str, &str, &str)], memory: u64) {
        let (_dir, hierarchies) = machine(layout, mounts);
        let expect = CgroupUsage { cpu_nanos: 1_234_567_000, memory: ByteSize(memory), pids: 3 };
        assert_eq!(hierarchies.usage("/gannet/u/c"), Some(expect), "{mounts:?}");
        assert_eq!(hierarchies.usage("/gannet/u/gone"), None);
    }

    #[test]
    fn each_layout() {
        let v1 = [
            ("cpu,cpuacct/gannet/u/c/cpuacct.usage", "1234567000\n"),
            ("memory/gannet/u/c/memory.usage_in_bytes", "4911104\n"),
            ("memory/gannet/u/c/memory.stat", V1_MEMORY),
            ("pids/gannet/u/c/pids.current", "3\n"),
        ];
        let mounts = [
            ("cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            ("memory", "cgroup", "rw,memory"),
            ("pids", "cgroup", "rw,pids"),
        ];
        check(&v1, &mounts, 4_911_104 - 1_081_344);
        let hybrid = [("unified", "cgroup2", "rw")];
        check(&v1, &[&hybrid[..], &mounts].concat(), 4_911_104 - 1_081_344);
        let v2 = [
            ("unified/gannet/u/c/cpu.stat", V2_CPU),
            ("unified/gannet/u/c/memory.current", "14245888\n"),
            ("unified/gannet/u/c/memory.stat", V2_MEMORY),
            ("unified/gannet/u/c/pids.current", "3\n"),
        ];
        check(&v2, &hybrid, 14_245_888 - 7_172_096);
    }

    /// Against the kernel's own v2, where there is one: the processor's time at least is in it.
    #[test]
    fn a_real_v2() {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let only_v2: String =
            table.lines().filter(|l| l.contains(" - cgroup2 ")).map(|l| format!("{l}\n")).collect();
        let v2 = Hierarchies::parse(&only_v2);
        let name = format!("gannet-stats-test-{}", std::process::id());
        let Some((dir, _)) = v2.folder("cpuacct", &name).filter(|(dir, _)| fs::create_dir(dir).is_ok())
        else {
            return;
        };
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let joined = fs::write(dir.join("cgroup.procs"), child.id().to_string());
        let usage = v2.usage(&name);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir(&dir).unwrap();
        joined.unwrap();
        assert!(usage.is_some(), "{dir:?}");
        assert_eq!(v2.usage(&name), None, "it is gone");
    }
}
