//! What a container may do: capabilities, system calls, devices, memory and time.

use gannet_protocols_model::{ByteSize, Container, Manifest, Resources, SeccompProfile, Security};
use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxCapabilities, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType,
    LinuxMemory, LinuxNamespace, LinuxNamespaceType, LinuxPids, LinuxResources,
};

use crate::defaults;
use crate::env::SpecError;
use crate::seccomp;

/// Processes and threads of a container: far more than a gateway's programs use, far fewer than a fork bomb makes.
const PIDS_LIMIT: i64 = 4096;
/// The CPU quota's period in microseconds, Kubernetes' default.
const CPU_PERIOD: u64 = 100_000;
/// The smallest quota that the kernel takes, in microseconds.
const MIN_CPU_QUOTA: i64 = 1_000;
/// The smallest weight that the kernel takes.
const MIN_CPU_SHARES: u64 = 2;

/// The bounding set.
pub(crate) fn capabilities(security: &Security) -> Result<Capabilities, SpecError> {
    if security.privileged {
        return Ok(all_capabilities());
    }
    let mut set = if is_all(&security.capabilities_drop) {
        Capabilities::new()
    } else if is_all(&security.capabilities_add) {
        all_capabilities()
    } else {
        defaults::default_capabilities()
    };
    for name in security.capabilities_add.iter().filter(|n| !n.eq_ignore_ascii_case("ALL")) {
        set.insert(capability(name)?);
    }
    for name in security.capabilities_drop.iter().filter(|n| !n.eq_ignore_ascii_case("ALL")) {
        set.remove(&capability(name)?);
    }
    Ok(set)
}

fn is_all(names: &[String]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case("ALL"))
}

fn capability(name: &str) -> Result<Capability, SpecError> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    serde_json::from_value(serde_json::Value::String(full))
        .map_err(|_| SpecError::Capability { name: name.to_owned() })
}

fn all_capabilities() -> Capabilities {
    use Capability as C;
    Capabilities::from([
        C::AuditControl,
        C::AuditRead,
        C::AuditWrite,
        C::BlockSuspend,
        C::Bpf,
        C::CheckpointRestore,
        C::Chown,
        C::DacOverride,
        C::DacReadSearch,
        C::Fowner,
        C::Fsetid,
        C::IpcLock,
        C::IpcOwner,
        C::Kill,
        C::Lease,
        C::LinuxImmutable,
        C::MacAdmin,
        C::MacOverride,
        C::Mknod,
        C::NetAdmin,
        C::NetBindService,
        C::NetBroadcast,
        C::NetRaw,
        C::Perfmon,
        C::Setgid,
        C::Setfcap,
        C::Setpcap,
        C::Setuid,
        C::SysAdmin,
        C::SysBoot,
        C::SysChroot,
        C::SysModule,
        C::SysNice,
        C::SysPacct,
        C::SysPtrace,
        C::SysRawio,
        C::SysResource,
        C::SysTime,
        C::SysTtyConfig,
        C::Syslog,
        C::WakeAlarm,
    ])
}

/// The sets of a process: nothing is inherited by programs that it executes as another user.
pub(crate) fn process_capabilities(bounding: &Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(bounding.clone()))
        .set_effective(Some(bounding.clone()))
        .set_permitted(Some(bounding.clone()))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}

/// The Linux part of the spec.
pub(crate) fn linux(container: &Container, bounding: &Capabilities) -> Linux {
    let privileged = container.security.privileged;
    let mut linux = Linux::default();
    let types = [
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Cgroup,
    ];
    let namespace = |typ| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(typ);
        namespace
    };
    linux.set_namespaces(Some(types.map(namespace).to_vec()));
    linux.set_resources(Some(resources(&container.resources, privileged)));
    if privileged {
        linux.set_masked_paths(None).set_readonly_paths(None);
    } else {
        linux
            .set_masked_paths(Some(defaults::default_masked_paths()))
            .set_readonly_paths(Some(defaults::default_readonly_paths()));
        if container.security.seccomp == SeccompProfile::RuntimeDefault {
            linux.set_seccomp(Some(seccomp::default_seccomp(bounding)));
        }
    }
    linux
}

fn resources(asked: &Resources, privileged: bool) -> LinuxResources {
    let mut devices = vec![defaults::deny_all_devices()];
    if privileged {
        let mut all = LinuxDeviceCgroup::default();
        all.set_allow(true).set_typ(Some(LinuxDeviceType::A)).set_access(Some("rwm".to_owned()));
        devices.push(all);
    }
    let mut cpu = LinuxCpu::default();
    let weight = asked.cpu_request.or(asked.cpu_limit).map_or(0, |c| c.0);
    cpu.set_shares(Some((weight.saturating_mul(1024) / 1000).clamp(MIN_CPU_SHARES, 262_144)));
    if let Some(limit) = asked.cpu_limit {
        let quota = i64::try_from(limit.0.saturating_mul(CPU_PERIOD) / 1000).unwrap_or(i64::MAX);
        cpu.set_quota(Some(quota.max(MIN_CPU_QUOTA))).set_period(Some(CPU_PERIOD));
    }
    let mut pids = LinuxPids::default();
    pids.set_limit(PIDS_LIMIT);
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(devices)).set_cpu(Some(cpu)).set_pids(Some(pids));
    if let Some(limit) = asked.memory_limit {
        let mut memory = LinuxMemory::default();
        memory.set_limit(Some(i64::try_from(limit.0).unwrap_or(i64::MAX)));
        resources.set_memory(Some(memory));
    }
    resources
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
    let asked = request(container.resources).1.map_or(0, |m| m.0);
    let share = asked.saturating_mul(1000) / node_memory.0.max(1);
    i32::try_from(1000_u64.saturating_sub(share)).unwrap_or(1000).clamp(3, 999)
}
