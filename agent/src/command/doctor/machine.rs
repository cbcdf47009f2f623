//! The machine as a whole: who we are, its clock, memory, swap, randomness.

use std::fs;

use gannet_protocols_model::Timestamp;

use super::finding::{Finding, Findings, good, warning, wrong};
use crate::clock::wall;

/// With less than this a handful of pods leaves nothing for the system.
const LEAST_MEMORY: u64 = 96 << 20;
/// TLS needs a seeded generator; before that a connection waits.
const LEAST_ENTROPY: u64 = 64;

pub(super) fn check(findings: &mut Findings) {
    findings.add("root", root());
    findings.add("clock", clock(wall()));
    findings.add("memory", memory(&read("/proc/meminfo")));
    findings.add("swap", swap(&read("/proc/swaps")));
    findings.add("entropy", entropy(&read("/proc/sys/kernel/random/entropy_avail")));
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn root() -> Finding {
    match rustix::process::geteuid().is_root() {
        true => good("user 0"),
        false => wrong("not root", "run the agent and this check as root, with sudo or as a system service"),
    }
}

fn clock(now: Timestamp) -> Finding {
    // The release of this program is not from the future.
    let least: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap_or_default();
    match now >= least {
        true => good(now.to_string()),
        false => warning(
            format!("the clock says {now}: this machine does not know the time"),
            "set it, or run a time server's client (systemd-timesyncd, chrony), or fit a clock with a battery; pods run all the same",
        ),
    }
}

fn memory(meminfo: &str) -> Finding {
    let of = |field: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kilobytes << 10)
    };
    match (of("MemTotal"), of("MemAvailable")) {
        (Some(all), Some(free)) if all >= LEAST_MEMORY && free >= all / 20 => {
            good(format!("{} MiB, {} MiB available", all >> 20, free >> 20))
        }
        (Some(all), _) if all < LEAST_MEMORY => warning(
            format!("only {} MiB", all >> 20),
            "give each pod a small memory limit, and run few of them",
        ),
        (Some(_), Some(free)) => warning(
            format!("only {} MiB are available", free >> 20),
            "look for what takes it (`gannet-agent stats`, `top`): pods will be evicted",
        ),
        _ => warning("unknown: /proc/meminfo does not tell", "mount /proc"),
    }
}

/// Compressed memory wears nothing.
fn swap(swaps: &str) -> Finding {
    let on_disk: Vec<&str> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|device| !device.starts_with("/dev/zram"))
        .collect();
    match on_disk.is_empty() {
        true => good("none on a disk"),
        false => warning(
            format!(
                "pages of pods may go to {}: that wears flash, and makes memory limits soft",
                on_disk.join(", ")
            ),
            "turn it off: swapoff -a, and take it out of /etc/fstab; zram is fine",
        ),
    }
}

fn entropy(available: &str) -> Finding {
    match available.trim().parse::<u64>() {
        Ok(bits) if bits >= LEAST_ENTROPY => good(format!("{bits} bits")),
        Ok(bits) => warning(
            format!("{bits} bits: connections wait until the kernel has gathered more"),
            "let the machine use its hardware generator (rng-tools), or run haveged",
        ),
        Err(_) => warning("unknown: /proc does not tell", "mount /proc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(finding: &Finding, expect: &str) -> bool {
        match finding {
            Finding::Ok { seen } => expect.is_empty() || seen.contains(expect),
            Finding::Warning { cause, .. } => cause.contains(expect) && !expect.is_empty(),
            Finding::Wrong { .. } => false,
        }
    }

    #[test]
    fn texts_of_the_kernel() {
        let swaps = "Filename Type Size Used Priority\n";
        assert!(is(&swap(swaps), ""));
        assert!(is(&swap(&format!("{swaps}/dev/zram0 partition 1 0 5\n")), ""));
        assert!(is(&swap(&format!("{swaps}/dev/mmcblk0p3 partition 1 0 5\n")), "/dev/mmcblk0p3"));
        assert!(is(&memory("MemTotal:  1024000 kB\nMemAvailable: 512000 kB\n"), "1000 MiB, 500 MiB"));
        assert!(is(&memory("MemTotal:  1024000 kB\nMemAvailable: 12000 kB\n"), "only 11 MiB are available"));
        assert!(is(&memory("MemTotal:  64000 kB\nMemAvailable: 60000 kB\n"), "only 62 MiB"));
        assert!(is(&memory(""), "unknown"));
        assert!(is(&entropy("256\n"), "256") && is(&entropy("3\n"), "3 bits") && is(&entropy(""), "unknown"));
        assert!(is(&clock(Timestamp::from_millis(5)), "1970-01-01"));
        assert!(is(&clock("2026-01-01T00:00:00Z".parse().unwrap()), "2026"));
    }
}
