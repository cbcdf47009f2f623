//! The names of services and pods (Kubernetes' "DNS-Based Service Discovery"), as a pure look-up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gannet_protocols_model::{Network, PodUid, Service};

use crate::LocalPod;
use crate::rules;

/// Names and what is known of them, all lower case, without the last dot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    zone: String,
    records: BTreeMap<String, Vec<Data>>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// An address.
    Address(Ipv4Addr),
    /// A port of a service, at this name.
    Service { port: u16, target: String },
    /// The name of an address.
    Name(String),
}

/// What the node knows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It stands for this; for nothing where the service has no ready pod.
    Here(Vec<Data>),
    /// It lies in the zone and does not exist.
    NoSuchName,
    /// It lies elsewhere: ask the node's name servers.
    Elsewhere,
}

impl Names {
    /// The names of a node's services.
    pub(crate) fn new(network: &Network, local: &BTreeMap<PodUid, LocalPod>) -> Self {
        let mut names = Self { zone: network.domain.to_ascii_lowercase(), records: BTreeMap::new() };
        for service in &network.services {
            let name = format!("{}.{}.svc.{}", service.name, service.namespace, names.zone);
            match service.cluster_ip {
                Some(ip) => names.service(service, &name, ip),
                None => names.headless(service, &name, local),
            }
        }
        names
    }

    fn service(&mut self, service: &Service, name: &str, ip: Ipv4Addr) {
        self.add(name.to_owned(), Data::Address(ip));
        self.add(reverse(ip), Data::Name(name.to_owned()));
        for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
            let record = format!("_{}._{}.{name}", port.name, rules::name(port.protocol));
            self.add(record, Data::Service { port: port.port, target: name.to_owned() });
        }
    }

    /// A service without an address has those of its ready pods, and each of these a name below it: the host name that it
    /// asks for, or one made of its address.
    fn headless(&mut self, service: &Service, name: &str, local: &BTreeMap<PodUid, LocalPod>) {
        self.records.entry(name.to_owned()).or_default();
        for backend in &service.backends {
            let ip = backend.remote.or_else(|| local.get(&backend.pod).filter(|p| p.ready).map(|p| p.ip));
            let Some(ip) = ip else { continue };
            let host = match &backend.hostname {
                Some(host) => host.to_ascii_lowercase(),
                None => ip.to_string().replace('.', "-"),
            };
            let own = format!("{host}.{name}");
            self.add(name.to_owned(), Data::Address(ip));
            self.add(own.clone(), Data::Address(ip));
            self.add(reverse(ip), Data::Name(own.clone()));
            let ports =
                service.ports.iter().zip(&backend.ports).filter(|(p, n)| !p.name.is_empty() && **n != 0);
            for (port, number) in ports {
                let record = format!("_{}._{}.{name}", port.name, rules::name(port.protocol));
                self.add(record, Data::Service { port: *number, target: own.clone() });
            }
        }
    }

    fn add(&mut self, name: String, data: Data) {
        let all = self.records.entry(name.to_ascii_lowercase()).or_default();
        if !all.contains(&data) {
            all.push(data);
        }
    }

    /// Looks a name up, in any case, with or without the last dot.
    pub(crate) fn look_up(&self, name: &str) -> Answer {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(found) = self.records.get(&name) {
            return Answer::Here(found.clone());
        }
        if self.zone.is_empty() || !(name == self.zone || name.ends_with(&format!(".{}", self.zone))) {
            return Answer::Elsewhere;
        }
        if let Some(ip) = self.pod(&name) {
            return Answer::Here(vec![Data::Address(ip)]);
        }
        // Empty non-terminals such as `svc.cluster.local` exist, without data (RFC 8020).
        let parent = self.records.keys().any(|k| k.ends_with(&format!(".{name}")));
        if parent || name == self.zone { Answer::Here(Vec::new()) } else { Answer::NoSuchName }
    }

    /// `10-42-0-5.NAMESPACE.pod.ZONE` says itself which address it has.
    fn pod(&self, name: &str) -> Option<Ipv4Addr> {
        let (ip, namespace) = name.strip_suffix(&format!(".pod.{}", self.zone))?.split_once('.')?;
        (!namespace.contains('.')).then(|| ip.replace('-', ".").parse().ok()).flatten()
    }
}

/// The name under which an address is looked up (RFC 1035, 3.5).
fn reverse(ip: Ipv4Addr) -> String {
    let [a, b, c, d] = ip.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names() {
        let network: Network = serde_json::from_value(json!({
            "pod_cidr": "", "service_cidr": "", "domain": "cluster.local", "services": [
                {"namespace": "default", "name": "web", "kind": "ClusterIP", "cluster_ip": "10.43.0.10", "ports": [{"name": "http", "protocol": "TCP", "port": 80}], "backends": []},
                {"namespace": "default", "name": "db", "kind": "ClusterIP", "ports": [{"name": "pg", "protocol": "TCP", "port": 80}],
                 "backends": [{"pod": "a", "ports": [5432], "hostname": "db-0"}, {"pod": "b", "ports": [80]}, {"pod": "c", "remote": "10.42.9.9", "ports": [0]}]},
            ]}))
        .unwrap();
        let local = BTreeMap::from([(
            "a".parse().unwrap(),
            LocalPod { ip: Ipv4Addr::new(10, 42, 0, 2), ready: true, host_ports: Vec::new() },
        )]);
        let names = Names::new(&network, &local);
        let check = |name: &str, expect: &str| {
            let got = match names.look_up(name) {
                Answer::Here(found) => {
                    let text = |data: Data| match data {
                        Data::Address(ip) => ip.to_string(),
                        Data::Service { port, target } => format!("{target}:{port}"),
                        Data::Name(name) => name,
                    };
                    found.into_iter().map(text).collect::<Vec<_>>().join(" ")
                }
                other => format!("{other:?}"),
            };
            assert_eq!(got, expect, "{name}");
        };
        check("web.default.svc.cluster.local.", "10.43.0.10");
        check("WEB.default.svc.Cluster.Local", "10.43.0.10");
        check("_http._tcp.web.default.svc.cluster.local", "web.default.svc.cluster.local:80");
        check("10.0.43.10.in-addr.arpa", "web.default.svc.cluster.local");
        check("db.default.svc.cluster.local", "10.42.0.2 10.42.9.9");
        check("db-0.db.default.svc.cluster.local", "10.42.0.2");
        check("10-42-9-9.db.default.svc.cluster.local", "10.42.9.9");
        check("_pg._tcp.db.default.svc.cluster.local", "db-0.db.default.svc.cluster.local:5432");
        check("2.0.42.10.in-addr.arpa", "db-0.db.default.svc.cluster.local");
        check("10-42-0-77.default.pod.cluster.local", "10.42.0.77");
        check("x.default.pod.cluster.local", "NoSuchName");
        check("svc.cluster.local", "");
        check("cluster.local", "");
        check("no.default.svc.cluster.local", "NoSuchName");
        check("example.org", "Elsewhere");
        check("cluster.local.example.org", "Elsewhere");
        check("1.0.0.127.in-addr.arpa", "Elsewhere");
    }
}
