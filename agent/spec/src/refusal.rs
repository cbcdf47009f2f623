//! What a pod asks for and this node does not give: refused by name, never weakened.

use std::collections::BTreeMap;

use gannet_protocols_model::{AppArmorProfile, Manifest, Security};

use crate::build::{AppArmor, NodeFacts};

/// Why a container is not made. In kubelet's words where it has some.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A kernel parameter that is not among those that touch the pod alone.
    #[error("forbidden sysctl: {name:?} not allowlisted")]
    Sysctl {
        /// Which.
        name: String,
    },
    /// A kernel parameter of a namespace that the pod shares with the node.
    #[error("forbidden sysctl: {name:?} not allowed with {shared} enabled")]
    SharedSysctl {
        /// Which.
        name: String,
        /// `host net` or `host ipc`.
        shared: &'static str,
    },
    /// An AppArmor profile, and a kernel without AppArmor.
    #[error("Cannot enforce AppArmor: AppArmor is not enabled on the host")]
    NoAppArmor,
    /// The runtime's default profile, on a node that could not load it.
    #[error("Cannot enforce AppArmor: the default profile is not loaded on the host")]
    NoDefaultAppArmor,
    /// `procMount: Unmasked` without a user namespace would show the node's `/proc` to the node's root.
    #[error("procMount Unmasked needs hostUsers: false")]
    UnmaskedProc,
    /// A user namespace that would share what belongs to the node's users.
    #[error("hostUsers: false cannot be used with {shared}")]
    SharedUsers {
        /// Which field.
        shared: &'static str,
    },
    /// A user namespace, on a node that cannot give one with everything that belongs to it.
    #[error("hostUsers: false is not supported on this node")]
    NoUserNamespace,
    /// A user or group that a pod with users of its own does not have.
    #[error("hostUsers: false gives a pod the users and groups 0 to 65535: {id} is not one of them")]
    Unmapped {
        /// Which.
        id: u32,
    },
    /// The profile that `seccompProfile: Localhost` names was not given.
    #[error("cannot load seccomp profile {path:?}")]
    Seccomp {
        /// Which.
        path: String,
    },
}

/// Kernel parameters that belong to one namespace of the pod and cannot be used against other pods or the node:
/// Kubernetes' list.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// The pod's kernel parameters, with dots between the parts.
pub(crate) fn sysctls(manifest: &Manifest) -> Result<BTreeMap<String, String>, Refusal> {
    let mut allowed = BTreeMap::new();
    for (name, value) in &manifest.sysctls {
        let dotted = name.replace('/', ".");
        if !SAFE.contains(&dotted.as_str()) {
            return Err(Refusal::Sysctl { name: name.clone() });
        }
        let shared = match dotted.split('.').next() {
            Some("net") if manifest.host_network => Some("host net"),
            Some("kernel") if manifest.host_ipc => Some("host ipc"),
            _ => None,
        };
        if let Some(shared) = shared {
            return Err(Refusal::SharedSysctl { name: name.clone(), shared });
        }
        allowed.insert(dotted, value.clone());
    }
    Ok(allowed)
}

/// The name of the AppArmor profile to run under, if any.
pub(crate) fn apparmor(security: &Security, node: &NodeFacts<'_>) -> Result<Option<String>, Refusal> {
    match (&security.apparmor, node.apparmor) {
        (Some(AppArmorProfile::Unconfined), AppArmor::Absent) | (None, AppArmor::Absent) => Ok(None),
        (Some(_), AppArmor::Absent) => Err(Refusal::NoAppArmor),
        (Some(AppArmorProfile::Unconfined), AppArmor::Enabled { .. }) => Ok(Some("unconfined".to_owned())),
        (Some(AppArmorProfile::Localhost(name)), AppArmor::Enabled { .. }) => Ok(Some(name.clone())),
        (Some(AppArmorProfile::RuntimeDefault), AppArmor::Enabled { default }) => {
            default.map(|name| Some(name.to_owned())).ok_or(Refusal::NoDefaultAppArmor)
        }
        (None, AppArmor::Enabled { .. }) if security.privileged => Ok(None),
        (None, AppArmor::Enabled { default }) => Ok(default.map(str::to_owned)),
    }
}

/// What cannot go together.
pub(crate) fn check(manifest: &Manifest, security: &Security, node: &NodeFacts<'_>) -> Result<(), Refusal> {
    if security.unmasked_proc && !manifest.user_namespace {
        return Err(Refusal::UnmaskedProc);
    }
    let shared = [
        (manifest.host_network, "hostNetwork"),
        (manifest.host_pid, "hostPID"),
        (manifest.host_ipc, "hostIPC"),
    ];
    match shared.into_iter().find(|(asked, _)| *asked && manifest.user_namespace) {
        Some((_, shared)) => Err(Refusal::SharedUsers { shared }),
        None if manifest.user_namespace && !node.user_namespaces => Err(Refusal::NoUserNamespace),
        None => Ok(()),
    }
}

/// Users and groups of a pod with users of its own.
const OWN: u32 = 65_536;

/// Checks that the container's user and groups exist in its pod.
pub(crate) fn check_users(manifest: &Manifest, mut ids: impl Iterator<Item = u32>) -> Result<(), Refusal> {
    match ids.find(|id| manifest.user_namespace && *id >= OWN) {
        Some(id) => Err(Refusal::Unmapped { id }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;

    #[test]
    fn users_of_a_pod() {
        let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
        let say = |manifest: &Manifest, ids: &[u32]| {
            check_users(manifest, ids.iter().copied()).map_or_else(|e| e.to_string(), |()| String::new())
        };
        assert_eq!(say(&manifest, &[0, 70_000]), "");
        manifest.user_namespace = true;
        assert_eq!(say(&manifest, &[0, 65_535]), "");
        let words = "hostUsers: false gives a pod the users and groups 0 to 65535: 70000 is not one of them";
        assert_eq!(say(&manifest, &[0, 70_000]), words);
    }

    #[test]
    fn kernel_parameters() {
        let check = |sysctls: &str, more: &str, expect: &str| {
            let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
            manifest.sysctls = serde_json::from_str(sysctls).unwrap();
            manifest.host_network = more.contains("net");
            manifest.host_ipc = more.contains("ipc");
            let got = super::sysctls(&manifest).map_or_else(|e| e.to_string(), |ok| format!("{ok:?}"));
            assert_eq!(got, expect, "{sysctls} {more}");
        };
        check("{}", "", "{}");
        check(r#"{"net.ipv4.tcp_syncookies":"0"}"#, "", r#"{"net.ipv4.tcp_syncookies": "0"}"#);
        check(r#"{"kernel/shm_rmid_forced":"1"}"#, "", r#"{"kernel.shm_rmid_forced": "1"}"#);
        check(r#"{"kernel.msgmax":"1"}"#, "", r#"forbidden sysctl: "kernel.msgmax" not allowlisted"#);
        check(r#"{"vm.swappiness":"1"}"#, "", r#"forbidden sysctl: "vm.swappiness" not allowlisted"#);
        check(r#"{"net/../vm/x":"1"}"#, "", r#"forbidden sysctl: "net/../vm/x" not allowlisted"#);
        check(
            r#"{"net.ipv4.tcp_rmem":"1"}"#,
            "net",
            r#"forbidden sysctl: "net.ipv4.tcp_rmem" not allowed with host net enabled"#,
        );
        check(
            r#"{"kernel.shm_rmid_forced":"1"}"#,
            "ipc",
            r#"forbidden sysctl: "kernel.shm_rmid_forced" not allowed with host ipc enabled"#,
        );
    }

    #[test]
    fn profiles_of_apparmor() {
        let check = |asked: &str, node: AppArmor<'_>, expect: &str| {
            let security: Security = serde_json::from_str(&format!(r#"{{"apparmor":{asked}}}"#)).unwrap();
            let node = NodeFacts { apparmor: node, ..NodeFacts::default() };
            let got = apparmor(&security, &node).map_or_else(|e| e.to_string(), |ok| format!("{ok:?}"));
            assert_eq!(got, expect, "{asked} {node:?}");
        };
        let absent = "Cannot enforce AppArmor: AppArmor is not enabled on the host";
        let enabled = AppArmor::Enabled { default: Some("gannet-default") };
        let bare = AppArmor::Enabled { default: None };
        check("null", AppArmor::Absent, "None");
        check(r#""Unconfined""#, AppArmor::Absent, "None");
        check(r#""RuntimeDefault""#, AppArmor::Absent, absent);
        check(r#"{"Localhost":"mine"}"#, AppArmor::Absent, absent);
        check("null", enabled, r#"Some("gannet-default")"#);
        check("null", bare, "None");
        check(r#""RuntimeDefault""#, enabled, r#"Some("gannet-default")"#);
        check(
            r#""RuntimeDefault""#,
            bare,
            "Cannot enforce AppArmor: the default profile is not loaded on the host",
        );
        check(r#"{"Localhost":"mine"}"#, bare, r#"Some("mine")"#);
        check(r#""Unconfined""#, enabled, r#"Some("unconfined")"#);
    }

    #[test]
    fn what_cannot_go_together() {
        let node = NodeFacts { user_namespaces: true, ..NodeFacts::default() };
        let check = |change: fn(&mut Manifest, &mut Security), expect: &str| {
            let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
            let mut security = Security::default();
            change(&mut manifest, &mut security);
            let got =
                super::check(&manifest, &security, &node).map_or_else(|e| e.to_string(), |()| String::new());
            assert_eq!(got, expect);
        };
        check(|_, _| {}, "");
        check(|_, s| s.unmasked_proc = true, "procMount Unmasked needs hostUsers: false");
        check(|m, s| (m.user_namespace, s.unmasked_proc) = (true, true), "");
        check(
            |m, _| (m.user_namespace, m.host_pid) = (true, true),
            "hostUsers: false cannot be used with hostPID",
        );
        check(
            |m, _| (m.user_namespace, m.host_network) = (true, true),
            "hostUsers: false cannot be used with hostNetwork",
        );
        let mut manifest = manifest(r#"{"name":"c","image":"i"}"#);
        manifest.user_namespace = true;
        let refused = super::check(&manifest, &Security::default(), &NodeFacts::default());
        assert_eq!(refused, Err(Refusal::NoUserNamespace));
    }
}
