//! Limits of a cgroup that is there already: of a running container (in-place resize), and of a pod as a whole.
//!
//! libcontainer sets those of a new container. Here the order matters: what is there must fit the kernel's rules after each
//! single write, so memory together with swap is raised first and lowered last, and a child's CPU quota never exceeds its
//! parent's.

use std::fs;
use std::io;
use std::path::Path;

use oci_spec::runtime::LinuxResources;

use crate::kernel::cgroup::{self, Place};

/// What libcontainer's conversion starts from.
const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
const MAX_WEIGHT: u64 = 10_000;

/// No limit, as the runtime spec says it.
const UNLIMITED: i64 = -1;

/// Why limits were not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitsError {
    /// The kernel would have to kill what runs.
    #[error("attempting to set memory limit ({limit}) below current usage ({usage})")]
    InUse { limit: i64, usage: u64 },
    /// A file of the cgroup.
    #[error("cannot write {value:?} to {file}: {source}")]
    Write { file: String, value: String, source: io::Error },
    /// The hierarchy is not there.
    #[error("no hierarchy has the {0} controller")]
    NoController(&'static str),
}

/// What can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) shares: Option<u64>,
    /// Microseconds in each period; below zero: no limit.
    pub(crate) quota: Option<i64>,
    pub(crate) period: Option<u64>,
    /// Bytes; below zero: no limit.
    pub(crate) memory: Option<i64>,
}

impl From<&LinuxResources> for Limits {
    fn from(resources: &LinuxResources) -> Self {
        let cpu = resources.cpu().as_ref();
        Self {
            shares: cpu.and_then(oci_spec::runtime::LinuxCpu::shares),
            quota: cpu.and_then(oci_spec::runtime::LinuxCpu::quota),
            period: cpu.and_then(oci_spec::runtime::LinuxCpu::period),
            memory: resources.memory().and_then(|memory| memory.limit()),
        }
    }
}

fn at_least(now: i64, then: i64) -> bool {
    then < 0 || (now >= 0 && then >= now)
}

impl Limits {
    /// Those of these that allow more than `now`; the others stay as they are.
    fn growing(self, now: Self) -> Self {
        let more =
            |then: Option<i64>, now: Option<i64>| then.filter(|then| now.is_some_and(|n| at_least(n, *then)));
        Self {
            shares: None,
            quota: more(self.quota, now.quota),
            memory: more(self.memory, now.memory),
            ..self
        }
    }
}

fn write(dir: &Path, file: &str, value: &str) -> Result<(), LimitsError> {
    let path = dir.join(file);
    fs::write(&path, value).map_err(|source| LimitsError::Write {
        file: path.display().to_string(),
        value: value.to_owned(),
        source,
    })
}

fn number(dir: &Path, file: &str) -> Option<i64> {
    fs::read_to_string(dir.join(file)).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

/// As libcontainer converts for a new container.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers below a million"
)]
fn weight(shares: u64) -> u64 {
    if shares <= MIN_SHARES {
        return 1;
    }
    if shares >= MAX_SHARES {
        return MAX_WEIGHT;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).clamp(1, MAX_WEIGHT)
}

/// The limits in force. What cannot be read has none.
pub(crate) fn read(cgroup: &str) -> Limits {
    let mut limits = Limits { quota: Some(UNLIMITED), memory: Some(UNLIMITED), ..Limits::default() };
    if let Some(Place { dir, unified }) = cgroup::controller("cpu", cgroup) {
        let file = if unified { "cpu.max" } else { "cpu.cfs_quota_us" };
        limits.quota = Some(number(&dir, file).unwrap_or(UNLIMITED));
    }
    if let Some(Place { dir, unified }) = cgroup::controller("memory", cgroup) {
        let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
        // The first hierarchy says "no limit" as the largest number of whole pages.
        let limit = number(&dir, file).filter(|&bytes| bytes < i64::MAX / 4096 * 4096);
        limits.memory = Some(limit.unwrap_or(UNLIMITED));
    }
    limits
}

/// Sets those that are there.
pub(crate) fn apply(cgroup: &str, limits: Limits) -> Result<(), LimitsError> {
    if let Some(limit) = limits.memory {
        set_memory(cgroup, limit)?;
    }
    let Limits { shares, quota, period, .. } = limits;
    if shares.is_none() && quota.is_none() {
        return Ok(());
    }
    let Place { dir, unified } = cgroup::controller("cpu", cgroup).ok_or(LimitsError::NoController("cpu"))?;
    if let Some(shares) = shares {
        match unified {
            true => write(&dir, "cpu.weight", &weight(shares).to_string())?,
            false => write(&dir, "cpu.shares", &shares.to_string())?,
        }
    }
    let period = period.unwrap_or(100_000);
    match quota {
        Some(quota) if unified => {
            let quota = if quota < 0 { "max".to_owned() } else { quota.to_string() };
            write(&dir, "cpu.max", &format!("{quota} {period}"))
        }
        // A kernel without quotas, and none asked for.
        Some(quota) if quota < 0 && !dir.join("cpu.cfs_quota_us").exists() => Ok(()),
        Some(quota) => {
            write(&dir, "cpu.cfs_period_us", &period.to_string())?;
            write(&dir, "cpu.cfs_quota_us", &quota.max(UNLIMITED).to_string())
        }
        None => Ok(()),
    }
}

fn set_memory(cgroup: &str, limit: i64) -> Result<(), LimitsError> {
    let Some(Place { dir, unified }) = cgroup::controller("memory", cgroup) else {
        return if limit < 0 { Ok(()) } else { Err(LimitsError::NoController("memory")) };
    };
    let in_use = |usage: u64| LimitsError::InUse { limit, usage };
    let usage = cgroup::usage(cgroup).map_or(0, |usage| usage.memory_bytes);
    if limit >= 0 && u64::try_from(limit).is_ok_and(|limit| limit < usage) {
        // The newer hierarchy would take the limit, and kill.
        return Err(in_use(usage));
    }
    if unified {
        let bytes = if limit < 0 { "max".to_owned() } else { limit.to_string() };
        if dir.join("memory.swap.max").exists() {
            write(&dir, "memory.swap.max", if limit < 0 { "max" } else { "0" })?;
        }
        return write(&dir, "memory.max", &bytes);
    }
    let bytes = limit.max(UNLIMITED).to_string();
    let swap = "memory.memsw.limit_in_bytes";
    let raise = number(&dir, "memory.limit_in_bytes").is_none_or(|now| at_least(now, limit));
    let files = [swap, "memory.limit_in_bytes"];
    let order = if raise { files } else { [files[1], files[0]] };
    for file in order.into_iter().filter(|file| *file != swap || dir.join(swap).exists()) {
        write(&dir, file, &bytes).map_err(|error| match error {
            LimitsError::Write { ref source, .. } if source.raw_os_error() == Some(libc::EBUSY) => {
                in_use(usage)
            }
            other => other,
        })?;
    }
    Ok(())
}

/// Gives a container, and the pod around it, other limits. Where the container's are refused, the pod's stay too.
pub(crate) fn update(container: (&str, Limits), pod: Option<(&str, Limits)>) -> Result<(), LimitsError> {
    let before = pod.map(|(cgroup, _)| read(cgroup));
    if let (Some((cgroup, limits)), Some(before)) = (pod, before) {
        apply(cgroup, limits.growing(before))?;
    }
    let now = read(container.0);
    if let Err(error) = apply(container.0, container.1) {
        // Halfway is nowhere: what was set already goes back.
        let _ = apply(container.0, now);
        if let (Some((cgroup, _)), Some(before)) = (pod, before) {
            let _ = apply(cgroup, before);
        }
        return Err(error);
    }
    match pod {
        Some((cgroup, limits)) => apply(cgroup, limits),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_allows_more() {
        let limits = |quota, memory| Limits { quota, memory, shares: Some(7), period: None };
        let check = |now: (i64, i64), then: (i64, i64), expect: (Option<i64>, Option<i64>)| {
            let growing = limits(Some(then.0), Some(then.1)).growing(limits(Some(now.0), Some(now.1)));
            assert_eq!(
                (growing.quota, growing.memory, growing.shares),
                (expect.0, expect.1, None),
                "{now:?} {then:?}"
            );
        };
        check((1, 1), (2, 2), (Some(2), Some(2)));
        check((2, 2), (1, 1), (None, None));
        check((-1, 5), (7, -1), (None, Some(-1)));
        check((-1, -1), (-1, -1), (Some(-1), Some(-1)));
    }

    #[test]
    fn shares_become_weights() {
        for (shares, expect) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(weight(shares), expect, "{shares}");
        }
    }
}
