//! What a container may do.

use std::collections::BTreeMap;

use gannet_protocols_model as model;
use k8s_openapi::api::core::v1 as core;

/// Before there was a field, the profile of a container stood in the pod's annotation of this prefix and its name.
pub(crate) const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

type Annotations<'a> = Option<&'a BTreeMap<String, String>>;

/// The container's own settings win over the pod's.
pub(super) fn security(
    container: &core::Container,
    pod: &core::PodSecurityContext,
    annotations: Annotations<'_>,
) -> model::Security {
    let own = container.security_context.clone().unwrap_or_default();
    let privileged = own.privileged.unwrap_or(false);
    let profile = own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref());
    let apparmor = own
        .app_armor_profile
        .as_ref()
        .and_then(apparmor)
        .or_else(|| noted(annotations?.get(&format!("{APPARMOR_ANNOTATION}{}", container.name))?))
        .or_else(|| pod.app_armor_profile.as_ref().and_then(self::apparmor));
    let capabilities = own.capabilities.unwrap_or_default();
    model::Security {
        run_as_user: id(own.run_as_user.or(pod.run_as_user)),
        run_as_group: id(own.run_as_group.or(pod.run_as_group)),
        run_as_non_root: own.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
        supplemental_groups: pod.supplemental_groups.iter().flatten().filter_map(|g| id(Some(*g))).collect(),
        strict_groups: pod.supplemental_groups_policy.as_deref() == Some("Strict"),
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        privileged,
        allow_privilege_escalation: own.allow_privilege_escalation,
        capabilities_add: capabilities.add.unwrap_or_default(),
        capabilities_drop: capabilities.drop.unwrap_or_default(),
        seccomp: seccomp(profile, privileged),
        apparmor,
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    }
}

/// A user or group.
pub(super) fn id(number: Option<i64>) -> Option<u32> {
    number.and_then(|n| u32::try_from(n).ok())
}

fn seccomp(profile: Option<&core::SeccompProfile>, privileged: bool) -> model::SeccompProfile {
    match profile.map(|p| (p.type_.as_str(), p.localhost_profile.clone())) {
        Some(("Unconfined", _)) => model::SeccompProfile::Unconfined,
        Some(("Localhost", path)) => model::SeccompProfile::Localhost(path.unwrap_or_default()),
        None if privileged => model::SeccompProfile::Unconfined,
        _ => model::SeccompProfile::RuntimeDefault,
    }
}

fn apparmor(profile: &core::AppArmorProfile) -> Option<model::AppArmorProfile> {
    match profile.type_.as_str() {
        "Unconfined" => Some(model::AppArmorProfile::Unconfined),
        "RuntimeDefault" => Some(model::AppArmorProfile::RuntimeDefault),
        "Localhost" => {
            Some(model::AppArmorProfile::Localhost(profile.localhost_profile.clone().unwrap_or_default()))
        }
        _ => None,
    }
}

fn noted(annotation: &str) -> Option<model::AppArmorProfile> {
    match annotation {
        "runtime/default" => Some(model::AppArmorProfile::RuntimeDefault),
        "unconfined" => Some(model::AppArmorProfile::Unconfined),
        other => Some(model::AppArmorProfile::Localhost(other.strip_prefix("localhost/")?.to_owned())),
    }
}
