//! What single processes use: the agent's own, which share a cgroup with whoever started them.

use std::fs;
use std::path::Path;

use gannet_protocols_model::ByteSize;

/// Clock ticks a second in `/proc` (USER_HZ): the same on every Linux that we know of.
pub(crate) const TICKS: u64 = 100;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessUsage {
    /// Processor time since it began.
    pub cpu_nanos: u64,
    /// Its memory, with its part of what it shares.
    pub memory: ByteSize,
    /// Its threads.
    pub threads: u64,
}

/// What a process uses; none where it has ended.
pub fn process_usage(pid: u32) -> Option<ProcessUsage> {
    let dir = Path::new("/proc").join(pid.to_string());
    let (ticks, threads, resident_pages) = parse_stat(&fs::read_to_string(dir.join("stat")).ok()?)?;
    let pss = fs::read_to_string(dir.join("smaps_rollup")).ok().and_then(|text| parse_pss(&text));
    // Kernels before 4.14 do not add it up; what is resident is then said, which is more.
    let memory = pss.unwrap_or(ByteSize(resident_pages.saturating_mul(4096)));
    Some(ProcessUsage { cpu_nanos: nanos(ticks), memory, threads })
}

pub(crate) fn nanos(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / TICKS)
}

/// The zygote and shims of an agent: its children, and processes whose title is `shim` with the uid of one of these pods.
/// A shim outlives its agent, so it need not be a child.
pub fn shims(agent: u32, is_pod: impl Fn(&str) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let ours = |pid: &u32| {
        let dir = Path::new("/proc").join(pid.to_string());
        let title = fs::read(dir.join("cmdline")).unwrap_or_default();
        shim_of(&title).is_some_and(&is_pod)
            || fs::read_to_string(dir.join("stat")).is_ok_and(|text| parent(&text) == Some(agent))
    };
    pids.filter(ours).collect()
}

/// The pod of a title such as `gannet-agent: shim UID`.
fn shim_of(title: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(title).ok()?.trim_end_matches('\0');
    let (name, uid) = text.rsplit_once(' ')?;
    name.ends_with("shim").then_some(uid)
}

/// The fields behind the name, which may hold anything.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace().collect())
}

fn parent(stat: &str) -> Option<u32> {
    fields(stat)?.get(1)?.parse().ok()
}

/// Ticks of user and system time, threads, resident pages.
fn parse_stat(stat: &str) -> Option<(u64, u64, u64)> {
    let fields = fields(stat)?;
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((number(11)?.saturating_add(number(12)?), number(17)?, number(21)?))
}

fn parse_pss(smaps_rollup: &str) -> Option<ByteSize> {
    let line = smaps_rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(ByteSize(kilobytes.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (sh (x) y) S 17 4242 4242 0 -1 4194560 1234 0 0 0 250 75 0 0 20 0 3 0 8812345 \
        12345678 321 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0\n";

    #[test]
    fn recorded_texts() {
        assert_eq!(parse_stat(STAT), Some((325, 3, 321)));
        assert_eq!(parent(STAT), Some(17));
        assert_eq!(parse_stat("4242"), None);
        let rollup = "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:                8412 kB\nPss:                1022 kB\n\
            Pss_Dirty:           500 kB\n";
        assert_eq!(parse_pss(rollup), Some(ByteSize(1022 << 10)));
        assert_eq!(shim_of(b"gannet-agent: shim web-1\0"), Some("web-1"));
        assert_eq!(shim_of(b"gannet-agent shim web-1\0\0"), Some("web-1"));
        assert_eq!(shim_of(b"/bin/sh\0-c\0sleep 1"), None);
    }

    #[test]
    fn this_process() {
        let usage = process_usage(std::process::id()).unwrap();
        assert!(usage.memory.0 > 100 << 10 && usage.threads >= 1, "{usage:?}");
        assert_eq!(process_usage(u32::MAX), None);
        assert!(shims(std::process::id(), |_| false).is_empty());
    }
}
