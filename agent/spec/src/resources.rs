//! What a container, and a pod as a whole, may use: processor, memory, processes, in the kernel's numbers.

use gannet_protocols_model::{ByteSize, Container, CpuMillis, Manifest, Resources};
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};

/// The CPU quota's period in microseconds, Kubernetes' default.
const CPU_PERIOD: u64 = 100_000;
/// The smallest quota that the kernel takes, in microseconds.
const MIN_CPU_QUOTA: i64 = 1_000;
/// The smallest weight that the kernel takes, and what a container without a request has.
const MIN_CPU_SHARES: u64 = 2;
const MAX_CPU_SHARES: u64 = 262_144;
/// "No limit".
const UNLIMITED: i64 = -1;

fn shares(cpu: Option<CpuMillis>) -> u64 {
    (cpu.map_or(0, |cpu| cpu.0).saturating_mul(1024) / 1000).clamp(MIN_CPU_SHARES, MAX_CPU_SHARES)
}

fn quota(cpu: CpuMillis) -> i64 {
    i64::try_from(cpu.0.saturating_mul(CPU_PERIOD) / 1000).unwrap_or(i64::MAX).max(MIN_CPU_QUOTA)
}

fn cpu(request: Option<CpuMillis>, limit: Option<CpuMillis>) -> LinuxCpu {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(Some(shares(request.or(limit))));
    if let Some(limit) = limit {
        cpu.set_quota(Some(quota(limit))).set_period(Some(CPU_PERIOD));
    }
    cpu
}

/// Memory and swap together have the same limit: as with kubelet, a container does not swap.
fn memory(limit: ByteSize) -> LinuxMemory {
    let limit = i64::try_from(limit.0).unwrap_or(i64::MAX);
    let mut memory = LinuxMemory::default();
    memory.set_limit(Some(limit)).set_swap(Some(limit));
    memory
}

/// What a new container is given.
pub(crate) fn of_container(asked: &Resources, pids_limit: i64) -> LinuxResources {
    let mut pids = LinuxPids::default();
    pids.set_limit(pids_limit);
    let mut resources = LinuxResources::default();
    resources.set_cpu(Some(cpu(asked.cpu_request, asked.cpu_limit))).set_pids(Some(pids));
    resources.set_memory(asked.memory_limit.map(memory));
    // The kernel's default rules would be looked at otherwise; the caller puts in its own.
    resources.set_devices(None);
    resources
}

/// Says "no limit" where there is none, so that one that was there goes.
fn explicit(mut resources: LinuxResources) -> LinuxResources {
    if let Some(mut cpu) = resources.cpu().clone().filter(|cpu| cpu.quota().is_none()) {
        cpu.set_quota(Some(UNLIMITED)).set_period(Some(CPU_PERIOD));
        resources.set_cpu(Some(cpu));
    }
    if resources.memory().is_none() {
        let mut memory = LinuxMemory::default();
        memory.set_limit(Some(UNLIMITED)).set_swap(Some(UNLIMITED));
        resources.set_memory(Some(memory));
    }
    resources
}

/// What a running container is given from now on (in-place resize): processor and memory.
pub fn limits(asked: &Resources) -> LinuxResources {
    let mut resources = LinuxResources::default();
    resources.set_devices(None);
    resources.set_cpu(Some(cpu(asked.cpu_request, asked.cpu_limit)));
    resources.set_memory(asked.memory_limit.map(memory));
    explicit(resources)
}

/// What the pod's own cgroup, the parent of its containers' ones, is given, as kubelet does: its weight against other pods,
/// and a limit where every container has one. What volumes in memory hold counts there too.
pub fn pod_limits(manifest: &Manifest) -> LinuxResources {
    let of = |pick: fn(&Resources) -> Option<u64>| total(manifest, pick);
    let limit = |pick: fn(&Resources) -> Option<u64>| {
        manifest.all_containers().all(|c| pick(&c.resources).is_some()).then(|| total(manifest, pick))
    };
    let request = of(|r| r.cpu_request.or(r.cpu_limit).map(|c| c.0));
    let mut resources = LinuxResources::default();
    resources.set_devices(None);
    let cpu_limit = limit(|r| r.cpu_limit.map(|c| c.0)).map(CpuMillis);
    resources.set_cpu(Some(cpu(Some(CpuMillis(request)), cpu_limit)));
    resources.set_memory(limit(|r| r.memory_limit.map(|m| m.0)).map(|bytes| memory(ByteSize(bytes))));
    explicit(resources)
}

/// The most that a pod holds at once: its containers and sidecars together, or an init container with the sidecars before
/// it.
fn total(manifest: &Manifest, pick: impl Fn(&Resources) -> Option<u64>) -> u64 {
    let value = |container: &Container| pick(&container.resources).unwrap_or(0);
    let (mut sidecars, mut most) = (0_u64, 0_u64);
    for container in &manifest.init_containers {
        if container.sidecar {
            sidecars = sidecars.saturating_add(value(container));
            most = most.max(sidecars);
        } else {
            most = most.max(sidecars.saturating_add(value(container)));
        }
    }
    manifest.containers.iter().map(value).fold(sidecars, u64::saturating_add).max(most)
}

/// Whom the kernel kills first when memory is short: kubelet's numbers by quality of service.
pub(crate) fn oom_score_adj(manifest: &Manifest, container: &Container, node_memory: ByteSize) -> i32 {
    let all = || manifest.all_containers().map(|c| c.resources);
    let request = |r: Resources| (r.cpu_request.or(r.cpu_limit), r.memory_request.or(r.memory_limit));
    let guaranteed = all().all(|r| {
        r.cpu_limit.is_some() && r.memory_limit.is_some() && request(r) == (r.cpu_limit, r.memory_limit)
    });
    if guaranteed {
        return -997;
    }
    if all().all(|r| request(r) == (None, None)) {
        return 1000;
    }
    let memory = |container: &Container| request(container.resources).1.map_or(0, |m| m.0);
    let mut asked = memory(container);
    if container.sidecar {
        // A sidecar is killed no earlier than the container that it serves.
        asked = asked.max(manifest.containers.iter().map(memory).min().unwrap_or(0));
    }
    let share = asked.saturating_mul(1000) / node_memory.0.max(1);
    i32::try_from(1000_u64.saturating_sub(share)).unwrap_or(1000).clamp(3, 999)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{container, manifest};

    fn named(name: &str, resources: &str) -> Container {
        container(&format!(r#"{{"name":"{name}","image":"i","resources":{resources}}}"#))
    }

    #[test]
    fn pods_as_a_whole() {
        let check = |init: &[(&str, bool)], main: &[&str], expect: (u64, i64, i64)| {
            let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
            manifest.containers = main.iter().map(|r| named("c", r)).collect();
            manifest.init_containers =
                init.iter().map(|(r, sidecar)| Container { sidecar: *sidecar, ..named("i", r) }).collect();
            let got = pod_limits(&manifest);
            let (cpu, memory) = (got.cpu().clone().unwrap(), (*got.memory()).unwrap());
            let got = (cpu.shares().unwrap(), cpu.quota().unwrap(), memory.limit().unwrap());
            assert_eq!(got, expect, "{init:?} {main:?}");
        };
        let full = r#"{"cpu_request":500,"cpu_limit":1000,"memory_limit":1048576}"#;
        check(&[], &["{}"], (2, -1, -1));
        check(&[], &[full], (512, 100_000, 1 << 20));
        check(&[], &[full, full], (1024, 200_000, 2 << 20));
        check(&[], &[full, "{}"], (512, -1, -1));
        check(&[], &[full, r#"{"memory_limit":5}"#], (512, -1, (1 << 20) + 5));
        check(&[(full, true)], &[full], (1024, 200_000, 2 << 20));
        check(&[(full, true), (full, false), (full, false)], &[full], (1024, 200_000, 2 << 20));
        check(&[(r#"{"cpu_limit":4000,"memory_limit":9}"#, false)], &[full], (4096, 400_000, 1 << 20));
    }

    #[test]
    fn a_limit_that_goes_is_said_to_go() {
        let value =
            |asked: &str| serde_json::to_value(limits(&serde_json::from_str(asked).unwrap())).unwrap();
        let got = value("{}");
        assert_eq!(got["cpu"], serde_json::json!({"shares": 2, "quota": -1, "period": 100_000}));
        assert_eq!(got["memory"], serde_json::json!({"limit": -1, "swap": -1}));
        let got = value(r#"{"cpu_request":250,"cpu_limit":500,"memory_limit":4096}"#);
        assert_eq!(got["cpu"], serde_json::json!({"shares": 256, "quota": 50_000, "period": 100_000}));
        assert_eq!(got["memory"], serde_json::json!({"limit": 4096, "swap": 4096}));
    }

    #[test]
    fn who_is_killed_first() {
        let check = |init: &[&str], main: &[&str], at: usize, expect: i32| {
            let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
            manifest.containers = main.iter().map(|r| named("c", r)).collect();
            manifest.init_containers =
                init.iter().map(|r| Container { sidecar: true, ..named("i", r) }).collect();
            let container = manifest.all_containers().nth(at).unwrap();
            assert_eq!(oom_score_adj(&manifest, container, ByteSize(1000)), expect, "{init:?} {main:?}");
        };
        check(&[], &["{}"], 0, 1000);
        check(&[], &[r#"{"cpu_limit":1,"memory_limit":500}"#], 0, -997);
        check(&[], &[r#"{"memory_request":500}"#], 0, 500);
        check(&[], &[r#"{"memory_request":500}"#, "{}"], 1, 999);
        check(&[], &[r#"{"memory_request":1000}"#], 0, 3);
        check(&[r#"{"memory_request":100}"#], &[r#"{"memory_request":300}"#], 0, 700);
        check(&[r#"{"memory_request":400}"#], &[r#"{"memory_request":300}"#], 0, 600);
    }
}
