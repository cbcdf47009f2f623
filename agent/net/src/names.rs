//! The names of services (Kubernetes' "DNS-Based Service Discovery"), as a pure look-up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gannet_protocols_model::{Network, PodUid};

use crate::LocalPod;
use crate::rules::backends;

/// Names and their addresses, all lower case, without the last dot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    zone: String,
    addresses: BTreeMap<String, Vec<Ipv4Addr>>,
}

/// What the node knows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has these addresses; none where the service has no ready pod.
    Addresses(Vec<Ipv4Addr>),
    /// It lies in the zone and does not exist.
    NoSuchName,
    /// It lies elsewhere: ask the node's name servers.
    Elsewhere,
}

impl Names {
    /// The names of a node's services.
    pub(crate) fn new(network: &Network, local: &BTreeMap<PodUid, LocalPod>) -> Self {
        let mut addresses: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        let zone = network.domain.to_ascii_lowercase();
        for service in &network.services {
            let name = format!("{}.{}.svc.{zone}", service.name, service.namespace);
            if let Some(ip) = service.cluster_ip {
                addresses.insert(name, vec![ip]);
                continue;
            }
            let mut all: Vec<Ipv4Addr> = backends(service, 0, local).into_iter().map(|(ip, _)| ip).collect();
            all.sort_unstable();
            all.dedup();
            addresses.insert(name.clone(), all);
            for backend in &service.backends {
                let ip = backend.remote.or_else(|| local.get(&backend.pod).filter(|p| p.ready).map(|p| p.ip));
                if let (Some(host), Some(ip)) = (&backend.hostname, ip) {
                    addresses.entry(format!("{}.{name}", host.to_ascii_lowercase())).or_default().push(ip);
                }
            }
        }
        Self { zone, addresses }
    }

    /// Looks a name up, in any case, with or without the last dot.
    pub(crate) fn look_up(&self, name: &str) -> Answer {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(found) = self.addresses.get(&name) {
            return Answer::Addresses(found.clone());
        }
        let inside =
            !self.zone.is_empty() && (name == self.zone || name.ends_with(&format!(".{}", self.zone)));
        // Empty non-terminals such as `svc.cluster.local` exist, without addresses (RFC 8020).
        let parent = inside && self.addresses.keys().any(|k| k.ends_with(&format!(".{name}")));
        match (inside, parent) {
            (true, true) => Answer::Addresses(Vec::new()),
            (true, false) => Answer::NoSuchName,
            (false, _) => Answer::Elsewhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names() {
        let network: Network = serde_json::from_value(json!({
            "pod_cidr": "", "service_cidr": "", "domain": "cluster.local", "services": [
                {"namespace": "default", "name": "web", "kind": "ClusterIP", "cluster_ip": "10.43.0.10", "ports": [{"protocol": "TCP", "port": 80}], "backends": []},
                {"namespace": "default", "name": "db", "kind": "ClusterIP", "ports": [{"protocol": "TCP", "port": 80}],
                 "backends": [{"pod": "a", "ports": [80], "hostname": "db-0"}, {"pod": "b", "ports": [80]}]},
            ]}))
        .unwrap();
        let local = BTreeMap::from([(
            "a".parse().unwrap(),
            LocalPod { ip: Ipv4Addr::new(10, 42, 0, 2), ready: true, host_ports: Vec::new() },
        )]);
        let names = Names::new(&network, &local);
        let check =
            |name: &str, expect: &str| assert_eq!(format!("{:?}", names.look_up(name)), expect, "{name}");
        check("web.default.svc.cluster.local.", "Addresses([10.43.0.10])");
        check("WEB.default.svc.Cluster.Local", "Addresses([10.43.0.10])");
        check("db.default.svc.cluster.local", "Addresses([10.42.0.2])");
        check("db-0.db.default.svc.cluster.local", "Addresses([10.42.0.2])");
        check("svc.cluster.local", "Addresses([])");
        check("no.default.svc.cluster.local", "NoSuchName");
        check("example.org", "Elsewhere");
        check("cluster.local.example.org", "Elsewhere");
    }
}
