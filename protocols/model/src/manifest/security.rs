//! What a container may do.

use serde::{Deserialize, Serialize};

use super::is_default;

/// User, capabilities and filters of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// Replaces the image's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<u32>,
    /// Replaces the image's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_group: Option<u32>,
    /// Refuse to start as user 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_as_non_root: bool,
    /// Further groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplemental_groups: Vec<u32>,
    /// The groups that the image gives the user do not count (`supplementalGroupsPolicy: Strict`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub strict_groups: bool,
    /// The root file system cannot be written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only_root: bool,
    /// All devices, capabilities and no filter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// `Some(false)` sets no-new-privileges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_privilege_escalation: Option<bool>,
    /// Capabilities beyond the default set, without `CAP_`; `ALL` is every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities_add: Vec<String>,
    /// Capabilities taken from the default set; `ALL` is every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities_drop: Vec<String>,
    /// The system call filter.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seccomp: SeccompProfile,
    /// The AppArmor profile; `None` is the runtime's default where the kernel has AppArmor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<AppArmorProfile>,
    /// `procMount: Unmasked`: nothing of `/proc` is hidden or read-only. Needs a user namespace.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unmasked_proc: bool,
}

/// `appArmorProfile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppArmorProfile {
    /// The runtime's own profile.
    RuntimeDefault,
    /// A profile that is loaded on the node, by name.
    Localhost(String),
    /// None.
    Unconfined,
}

/// `seccompProfile`. Gateways filter by default, as container engines do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SeccompProfile {
    /// The engines' default list of system calls.
    #[default]
    RuntimeDefault,
    /// A file below the agent's seccomp folder, as the OCI runtime specification has it in JSON.
    Localhost(String),
    /// No filter.
    Unconfined,
}
