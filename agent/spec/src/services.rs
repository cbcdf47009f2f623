//! The services of a pod's namespace as environment variables, in the two forms that Kubernetes gives them.

use std::collections::BTreeMap;

use gannet_protocols_model::{Network, Protocol, Service};

/// The variables of a pod's services at the time of a container's start, by service. `links` is `enableServiceLinks`:
/// without it the API server (`kubernetes` of `default`) alone is named. A headless service has no variables.
pub fn service_environment(network: &Network, namespace: &str, links: bool) -> Vec<(String, String)> {
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in network.services.iter().filter(|s| s.cluster_ip.is_some()) {
        if links && service.namespace == namespace {
            chosen.insert(&service.name, service);
        } else if service.namespace == "default" && service.name == "kubernetes" {
            chosen.entry(&service.name).or_insert(service);
        }
    }
    chosen.into_values().flat_map(variables).collect()
}

fn variables(service: &Service) -> Vec<(String, String)> {
    let (Some(ip), Some(first)) = (service.cluster_ip, service.ports.first()) else { return Vec::new() };
    let name = variable_name(&service.name);
    let mut all = vec![
        (format!("{name}_SERVICE_HOST"), ip.to_string()),
        (format!("{name}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in service.ports.iter().filter(|p| !p.name.is_empty()) {
        all.push((format!("{name}_SERVICE_PORT_{}", variable_name(&port.name)), port.port.to_string()));
    }
    // As Docker's links named them.
    let url = |protocol: Protocol, port: u16| format!("{}://{ip}:{port}", lower(protocol));
    all.push((format!("{name}_PORT"), url(first.protocol, first.port)));
    for port in &service.ports {
        let protocol = lower(port.protocol);
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_ascii_uppercase());
        all.extend([
            (prefix.clone(), url(port.protocol, port.port)),
            (format!("{prefix}_PROTO"), protocol.to_owned()),
            (format!("{prefix}_PORT"), port.port.to_string()),
            (format!("{prefix}_ADDR"), ip.to_string()),
        ]);
    }
    all
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

fn lower(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(namespace: &str, links: bool, expect: &[&str]) {
        let service = |namespace: &str, name: &str, ip: Option<&str>, ports: serde_json::Value| json!({"namespace": namespace, "name": name, "kind": "ClusterIP", "cluster_ip": ip, "ports": ports, "backends": []});
        let network: Network = serde_json::from_value(json!({"pod_cidr": "", "service_cidr": "", "domain": "cluster.local", "services": [
            service("default", "kubernetes", Some("10.43.0.1"), json!([{"name": "https", "protocol": "TCP", "port": 443}])),
            service("prod", "my-db", Some("10.43.0.7"), json!([{"protocol": "TCP", "port": 5432}, {"name": "stats-udp", "protocol": "UDP", "port": 53}])),
            service("prod", "headless", None, json!([{"protocol": "TCP", "port": 80}])),
            service("other", "far", Some("10.43.0.9"), json!([{"protocol": "TCP", "port": 80}])),
        ]}))
        .unwrap();
        let got: Vec<String> = service_environment(&network, namespace, links)
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(got, expect, "{namespace} {links}");
    }

    #[test]
    fn variables_of_services() {
        let kubernetes = [
            "KUBERNETES_SERVICE_HOST=10.43.0.1",
            "KUBERNETES_SERVICE_PORT=443",
            "KUBERNETES_SERVICE_PORT_HTTPS=443",
            "KUBERNETES_PORT=tcp://10.43.0.1:443",
            "KUBERNETES_PORT_443_TCP=tcp://10.43.0.1:443",
            "KUBERNETES_PORT_443_TCP_PROTO=tcp",
            "KUBERNETES_PORT_443_TCP_PORT=443",
            "KUBERNETES_PORT_443_TCP_ADDR=10.43.0.1",
        ];
        let own = [
            "MY_DB_SERVICE_HOST=10.43.0.7",
            "MY_DB_SERVICE_PORT=5432",
            "MY_DB_SERVICE_PORT_STATS_UDP=53",
            "MY_DB_PORT=tcp://10.43.0.7:5432",
            "MY_DB_PORT_5432_TCP=tcp://10.43.0.7:5432",
            "MY_DB_PORT_5432_TCP_PROTO=tcp",
            "MY_DB_PORT_5432_TCP_PORT=5432",
            "MY_DB_PORT_5432_TCP_ADDR=10.43.0.7",
            "MY_DB_PORT_53_UDP=udp://10.43.0.7:53",
            "MY_DB_PORT_53_UDP_PROTO=udp",
            "MY_DB_PORT_53_UDP_PORT=53",
            "MY_DB_PORT_53_UDP_ADDR=10.43.0.7",
        ];
        check("prod", false, &kubernetes);
        check("prod", true, &[&kubernetes[..], &own[..]].concat());
        check("default", true, &kubernetes);
        check("empty", true, &kubernetes);
    }
}
