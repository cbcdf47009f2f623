//! What a container gets when its manifest says nothing: capabilities, masked and read-only paths, mounts, devices.

use oci_spec::runtime::{Capabilities, Capability, LinuxDeviceCgroup, LinuxDeviceType, Mount};

/// The usual list of container engines, without `CAP_MKNOD`: on the unified cgroup hierarchy a device node is only as
/// safe as nobody being able to make one.
const CAPABILITIES: [Capability; 13] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Paths that a container sees empty.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that a container may not write.
pub const READONLY_PATHS: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where cgroups lie in a container. libcontainer mounts the hierarchies of version 1 for writing, whatever their options
/// say, so each is made read-only by name; those that a kernel has not are passed over.
pub const CGROUP_PATHS: &[&str] = &[
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/blkio",
    "/sys/fs/cgroup/cpu",
    "/sys/fs/cgroup/cpu,cpuacct",
    "/sys/fs/cgroup/cpuacct",
    "/sys/fs/cgroup/cpuset",
    "/sys/fs/cgroup/devices",
    "/sys/fs/cgroup/freezer",
    "/sys/fs/cgroup/hugetlb",
    "/sys/fs/cgroup/memory",
    "/sys/fs/cgroup/misc",
    "/sys/fs/cgroup/net_cls",
    "/sys/fs/cgroup/net_cls,net_prio",
    "/sys/fs/cgroup/net_prio",
    "/sys/fs/cgroup/perf_event",
    "/sys/fs/cgroup/pids",
    "/sys/fs/cgroup/rdma",
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
];

/// The search path where an image sets none.
pub const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The capabilities of a container that asks for none.
pub fn default_capabilities() -> Capabilities {
    CAPABILITIES.into_iter().collect()
}

/// [`MASKED_PATHS`] as the runtime spec wants them.
pub fn default_masked_paths() -> Vec<String> {
    MASKED_PATHS.iter().map(ToString::to_string).collect()
}

/// [`READONLY_PATHS`] and [`CGROUP_PATHS`] as the runtime spec wants them.
pub fn default_readonly_paths() -> Vec<String> {
    READONLY_PATHS.iter().chain(CGROUP_PATHS).map(ToString::to_string).collect()
}

/// [`CGROUP_PATHS`] as the runtime spec wants them: read-only also where nothing of `/proc` is.
pub fn cgroup_paths() -> Vec<String> {
    CGROUP_PATHS.iter().map(ToString::to_string).collect()
}

/// "No device at all": must come first in `linux.resources.devices`, since an empty list means every device. The usual
/// ones (null, zero, full, random, urandom, tty, pseudo-terminals) are then allowed by the runtime.
pub fn deny_all_devices() -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(false).set_typ(Some(LinuxDeviceType::A)).set_access(Some("rwm".to_owned()));
    rule
}

/// The mounts that every container has before its volumes: proc, dev, devpts, shm, mqueue, sysfs and cgroup read-only.
pub fn default_mounts() -> Vec<Mount> {
    let table: [(&str, &str, &str, &[&str]); 7] = [
        ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ];
    table.iter().map(|(destination, typ, source, options)| mount(destination, typ, source, options)).collect()
}

fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(ToString::to_string).collect()));
    mount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_capability_that_reaches_the_host() {
        let held = default_capabilities();
        assert_eq!(held.len(), CAPABILITIES.len());
        for never in [
            Capability::SysAdmin,
            Capability::Mknod,
            Capability::NetAdmin,
            Capability::SysModule,
            Capability::SysPtrace,
        ] {
            assert!(!held.contains(&never), "{never:?}");
        }
    }

    #[test]
    fn devices_are_denied_in_the_words_of_the_spec() {
        let text = serde_json::to_value(deny_all_devices()).unwrap();
        assert_eq!(text, serde_json::json!({"allow": false, "type": "a", "access": "rwm"}));
    }
}
