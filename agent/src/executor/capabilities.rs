//! "All capabilities" are those that the agent has itself: inside a container or a virtual machine that may be fewer than
//! the kernel knows, and asking for one more would fail the container.

use std::fs;

use gannet_protocols_model::Security;
use oci_spec::runtime::{Capabilities, Capability, Spec};

/// The kernel's numbers (`linux/capability.h`), by place.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Takes from a container that asked for all what the agent cannot give. One that named a capability keeps it, and fails
/// where it cannot be given.
pub(super) fn bound(spec: &mut Spec, security: &Security) {
    let all =
        security.privileged || security.capabilities_add.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let Some(own) = own().filter(|_| all) else { return };
    let named = |name: &str| {
        let plain = |asked: &String| asked.to_ascii_uppercase().trim_start_matches("CAP_") == name;
        security.capabilities_add.iter().any(plain)
    };
    let lacks: Vec<&str> = (0..)
        .zip(NAMES)
        .filter(|(bit, name)| own >> bit & 1 == 0 && !named(name))
        .map(|(_, name)| name)
        .collect();
    let keep = |set: &Option<Capabilities>| -> Option<Capabilities> {
        let given = |capability: &Capability| {
            let name = capability.to_string();
            !lacks.contains(&name.trim_start_matches("CAP_"))
        };
        set.as_ref().map(|set| set.iter().copied().filter(given).collect())
    };
    let Some(mut process) = spec.process().clone() else { return };
    let Some(mut held) = process.capabilities().clone() else { return };
    let (bounding, effective) = (keep(held.bounding()), keep(held.effective()));
    let (inheritable, permitted, ambient) =
        (keep(held.inheritable()), keep(held.permitted()), keep(held.ambient()));
    held.set_bounding(bounding)
        .set_effective(effective)
        .set_inheritable(inheritable)
        .set_permitted(permitted)
        .set_ambient(ambient);
    process.set_capabilities(Some(held));
    spec.set_process(Some(process));
}

/// Keeps a container's place in the kernel's list of victims within what the agent may give: without CAP_SYS_RESOURCE
/// nobody goes below its own.
pub(super) fn bound_oom_score(spec: &mut Spec) {
    const SYS_RESOURCE: u64 = 1 << 24;
    if own().is_none_or(|own| own & SYS_RESOURCE != 0) {
        return;
    }
    let text = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let Ok(lowest) = text.trim().parse::<i32>() else { return };
    if let Some(process) = spec.process_mut()
        && let Some(asked) = process.oom_score_adj().filter(|asked| *asked < lowest)
    {
        tracing::warn!(asked, given = lowest, "oom_score_adj: the agent lacks CAP_SYS_RESOURCE");
        process.set_oom_score_adj(Some(lowest));
    }
}

/// The agent's own set, as bits.
fn own() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_what_the_agent_has() {
        let own = own().unwrap();
        let check = |security: &str, expect: Option<u32>| {
            let security: Security = serde_json::from_str(security).unwrap();
            let all: Vec<String> = NAMES.iter().map(|n| format!("CAP_{n}")).collect();
            let mut spec: Spec = serde_json::from_value(serde_json::json!({"ociVersion": "1.0.2", "process":
                {"args": ["x"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "capabilities": {"bounding": all, "permitted": all}}}))
            .unwrap();
            bound(&mut spec, &security);
            let held = spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
            let count = held.bounding().as_ref().unwrap().len();
            assert_eq!(u32::try_from(count).unwrap(), expect.unwrap_or(41), "{security:?}");
            assert_eq!(held.permitted(), held.bounding());
            assert!(held.ambient().as_ref().is_none_or(|set| set.is_empty()));
        };
        let known = own & ((1 << 41) - 1);
        check("{}", None);
        check(r#"{"privileged":true}"#, Some(known.count_ones()));
        check(r#"{"capabilities_add":["ALL"]}"#, Some(known.count_ones()));
        let sys_resource = u32::from(known >> 24 & 1 == 0);
        check(r#"{"capabilities_add":["ALL","cap_sys_resource"]}"#, Some(known.count_ones() + sys_resource));
    }
}
