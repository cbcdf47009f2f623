//! One pod's manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model as model;
use gannet_protocols_model::{Digest, Manifest};
use k8s_openapi::api::core::v1 as core;

use super::container::container;
use super::misfit::Misfit;
use super::{dns, security, volume};
use crate::World;

/// The pod, where its objects are looked up, and where its blobs go.
pub(super) struct Scope<'a> {
    pub(super) world: &'a World,
    pub(super) namespace: &'a str,
    pub(super) annotations: Option<&'a BTreeMap<String, String>>,
    pub(super) spec: &'a core::PodSpec,
    pub(super) blobs: &'a mut BTreeMap<Digest, Arc<[u8]>>,
}

/// What the pod runs. Pods of the same template get the same.
pub(super) fn manifest(scope: &mut Scope<'_>) -> Result<Manifest, Misfit> {
    let spec = scope.spec;
    let pod_security = spec.security_context.clone().unwrap_or_default();
    let mut containers = |list: &[core::Container], is_init| -> Result<Vec<_>, Misfit> {
        list.iter().map(|c| container(scope, c, &pod_security, is_init)).collect()
    };
    let init_containers = containers(spec.init_containers.as_deref().unwrap_or_default(), true)?;
    let main = containers(&spec.containers, false)?;
    let volumes =
        spec.volumes.iter().flatten().map(|v| volume::volume(scope, v)).collect::<Result<_, _>>()?;
    Ok(Manifest {
        version: 1,
        hostname: spec.hostname.clone().filter(|h| !h.is_empty()),
        host_network: spec.host_network.unwrap_or(false),
        host_pid: spec.host_pid.unwrap_or(false),
        host_ipc: spec.host_ipc.unwrap_or(false),
        share_process_namespace: spec.share_process_namespace.unwrap_or(false),
        user_namespace: spec.host_users == Some(false),
        sysctls: sysctls(&pod_security),
        active_deadline_seconds: spec.active_deadline_seconds.and_then(|s| u64::try_from(s).ok()),
        priority: spec.priority.unwrap_or(0),
        restart_policy: match spec.restart_policy.as_deref() {
            Some("OnFailure") => model::RestartPolicy::OnFailure,
            Some("Never") => model::RestartPolicy::Never,
            _ => model::RestartPolicy::Always,
        },
        termination_grace_seconds: seconds(spec.termination_grace_period_seconds, 30),
        dns_policy: dns::policy(spec),
        dns_config: dns::config(spec.dns_config.as_ref()),
        subdomain: spec.subdomain.clone().filter(|s| !s.is_empty()),
        hostname_as_fqdn: spec.set_hostname_as_fqdn.unwrap_or(false),
        host_aliases: dns::aliases(spec),
        service_links: spec.enable_service_links.unwrap_or(true),
        init_containers,
        containers: main,
        volumes,
        fs_group: security::id(pod_security.fs_group),
    })
}

/// Kernel parameters by their names with dots, where they may have been written with slashes.
fn sysctls(security: &core::PodSecurityContext) -> BTreeMap<String, String> {
    let sysctls = security.sysctls.iter().flatten();
    sysctls.map(|s| (sysctl_name(&s.name), s.value.clone())).collect()
}

/// `kernel/shm_rmid_forced` is `kernel.shm_rmid_forced`; behind a slash that comes first, dots belong to the names.
pub(crate) fn sysctl_name(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name[first..].starts_with('/') => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn seconds(value: Option<i64>, default: u32) -> u32 {
    value.map_or(default, |v| u32::try_from(v.max(0)).unwrap_or(u32::MAX))
}
