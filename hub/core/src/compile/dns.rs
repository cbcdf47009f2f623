//! Names that a pod can look up.

use gannet_protocols_model as model;
use k8s_openapi::api::core::v1 as core;

/// `dnsPolicy`.
pub(super) fn policy(spec: &core::PodSpec) -> model::DnsPolicy {
    let host_network = spec.host_network == Some(true);
    match spec.dns_policy.as_deref() {
        Some("Default") => model::DnsPolicy::Default,
        Some("None") => model::DnsPolicy::None,
        // As Kubernetes: a pod in the node's network sees the node's name servers unless it asks otherwise.
        Some("ClusterFirst") | None if host_network => model::DnsPolicy::Default,
        Some("ClusterFirstWithHostNet") if host_network => model::DnsPolicy::ClusterFirstWithHostNet,
        _ => model::DnsPolicy::ClusterFirst,
    }
}

/// `dnsConfig`. What does not parse was never admitted.
pub(super) fn config(config: Option<&core::PodDNSConfig>) -> model::DnsConfig {
    let Some(config) = config else { return model::DnsConfig::default() };
    let options = config.options.iter().flatten();
    model::DnsConfig {
        nameservers: config.nameservers.iter().flatten().filter_map(|ip| ip.parse().ok()).collect(),
        searches: config.searches.clone().unwrap_or_default(),
        options: options.filter_map(|o| Some((o.name.clone()?, o.value.clone()))).collect(),
    }
}

/// `hostAliases`.
pub(super) fn aliases(spec: &core::PodSpec) -> Vec<model::HostAlias> {
    let aliases = spec.host_aliases.iter().flatten().filter_map(|alias| {
        let hostnames = alias.hostnames.clone().unwrap_or_default();
        Some(model::HostAlias { ip: alias.ip.parse().ok()?, hostnames })
    });
    aliases.filter(|alias| !alias.hostnames.is_empty()).collect()
}
