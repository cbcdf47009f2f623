//! What a container may do: capabilities, namespaces, system calls, devices.

use gannet_protocols_model::{Manifest, SeccompProfile, Security};
use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxCapabilities, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType,
    LinuxNamespace, LinuxNamespaceType, LinuxSeccomp,
};

use crate::build::{ContainerContext, DeviceKind, DeviceNode};
use crate::env::SpecError;
use crate::refusal::{self, Refusal};
use crate::{defaults, resources, seccomp};

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

/// The Linux part of the spec. `owner` is the container's user and group.
pub(crate) fn linux(
    at: &ContainerContext<'_>,
    bounding: &Capabilities,
    owner: (u32, u32),
) -> Result<Linux, SpecError> {
    let (container, manifest) = (at.container, at.pod.manifest);
    let security = &container.security;
    let mut linux = Linux::default();
    linux.set_namespaces(Some(namespaces(manifest)));
    let sysctls = refusal::sysctls(manifest)?;
    linux.set_sysctl((!sysctls.is_empty()).then(|| sysctls.into_iter().collect()));
    linux.set_devices(Some(at.devices.iter().map(|device| device_node(device, owner)).collect()));
    let mut resources = resources::of_container(&container.resources, at.node.pids_limit);
    resources.set_devices(Some(device_rules(at.devices, security.privileged)));
    linux.set_resources(Some(resources));
    if security.privileged {
        linux.set_masked_paths(None).set_readonly_paths(None);
    } else if security.unmasked_proc {
        linux.set_masked_paths(None).set_readonly_paths(Some(defaults::cgroup_paths()));
    } else {
        linux
            .set_masked_paths(Some(defaults::default_masked_paths()))
            .set_readonly_paths(Some(defaults::default_readonly_paths()));
    }
    if !security.privileged {
        linux.set_seccomp(filter(at, bounding)?);
    }
    Ok(linux)
}

/// Those that are not the node's. The runtime gives the paths of the pod's own ones.
fn namespaces(manifest: &Manifest) -> Vec<LinuxNamespace> {
    let types = [
        (manifest.user_namespace, LinuxNamespaceType::User),
        (!manifest.host_pid, LinuxNamespaceType::Pid),
        (true, LinuxNamespaceType::Mount),
        (true, LinuxNamespaceType::Network),
        (!manifest.host_ipc, LinuxNamespaceType::Ipc),
        (true, LinuxNamespaceType::Uts),
        (true, LinuxNamespaceType::Cgroup),
    ];
    let namespace = |(_, typ)| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(typ);
        namespace
    };
    types.into_iter().filter(|(own, _)| *own).map(namespace).collect()
}

fn filter(at: &ContainerContext<'_>, bounding: &Capabilities) -> Result<Option<LinuxSeccomp>, Refusal> {
    match &at.container.security.seccomp {
        SeccompProfile::RuntimeDefault => Ok(Some(seccomp::default_seccomp(bounding))),
        SeccompProfile::Unconfined => Ok(None),
        SeccompProfile::Localhost(path) => {
            at.seccomp.cloned().map(Some).ok_or_else(|| Refusal::Seccomp { path: path.clone() })
        }
    }
}

/// The node in a container whose user and group are `user`: they may use it, so that a serial port does not need root.
pub fn device_node(device: &DeviceNode, user: (u32, u32)) -> LinuxDevice {
    let (uid, gid) = device.owner.unwrap_or(user);
    let mut node = LinuxDevice::default();
    node.set_path(device.path_in_container.clone())
        .set_typ(device_type(device.kind))
        .set_major(device.major)
        .set_minor(device.minor)
        .set_file_mode(Some(device.mode.unwrap_or(0o660)))
        .set_uid(Some(uid))
        .set_gid(Some(gid));
    node
}

fn device_type(kind: DeviceKind) -> LinuxDeviceType {
    match kind {
        DeviceKind::Char => LinuxDeviceType::C,
        DeviceKind::Block => LinuxDeviceType::B,
    }
}

/// Nothing, then what was given.
fn device_rules(devices: &[DeviceNode], privileged: bool) -> Vec<LinuxDeviceCgroup> {
    let mut rules = vec![defaults::deny_all_devices()];
    if privileged {
        let mut all = LinuxDeviceCgroup::default();
        all.set_allow(true).set_typ(Some(LinuxDeviceType::A)).set_access(Some("rwm".to_owned()));
        rules.push(all);
    } else {
        rules.extend(devices.iter().map(device_rule));
    }
    rules
}

/// The cgroup's rule for a device.
fn device_rule(device: &DeviceNode) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(device_type(device.kind)))
        .set_major(Some(device.major))
        .set_minor(Some(device.minor))
        .set_access(Some(device.access.clone()));
    rule
}
