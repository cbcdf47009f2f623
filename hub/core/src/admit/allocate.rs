//! Cluster addresses and node ports: the lowest that is free, or the one that was asked for.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::at::{At, Errors};
use super::defaults;
use crate::{ObjectKey, World};

/// The first two bytes of every service's address: 10.43.0.0/16.
const SERVICE_NETWORK: [u8; 2] = [10, 43];
/// 10.43.0.1 is the API's, 10.43.0.53 the name server's; the first few stay free for such things.
const FIRST_ADDRESS: u16 = 10;
const RESERVED: &[u16] = &[0, 1, 53, u16::MAX];
/// Ports of nodes.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// Gives a service its address and ports. `old` is the version before an update, whose own are kept.
pub(super) fn service(
    world: &World,
    key: &ObjectKey,
    old: Option<&Value>,
    spec: &mut Map<String, Value>,
    errors: &mut Errors,
) {
    let used = Used::by_others(world, key);
    let ty = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if ty == "ExternalName" {
        return;
    }
    address(&used, old, spec, errors);
    if ty == "NodePort" || ty == "LoadBalancer" {
        node_ports(&used, old, spec, errors);
    } else {
        release_node_ports(old, spec);
    }
}

#[derive(Debug, Default)]
struct Used {
    addresses: BTreeSet<String>,
    ports: BTreeSet<i64>,
}

impl Used {
    fn by_others(world: &World, key: &ObjectKey) -> Self {
        let mut used = Self::default();
        for spec in world
            .services
            .iter()
            .filter(|(other, _)| *other != key)
            .filter_map(|(_, service)| service.spec.as_ref())
        {
            used.addresses.extend(spec.cluster_ip.clone());
            used.ports.extend(spec.ports.iter().flatten().filter_map(|p| p.node_port).map(i64::from));
        }
        used
    }
}

fn address(used: &Used, old: Option<&Value>, spec: &mut Map<String, Value>, errors: &mut Errors) {
    let text = |v: Option<&Value>| v.and_then(Value::as_str).filter(|t| !t.is_empty()).map(ToOwned::to_owned);
    let listed = text(spec.get("clusterIPs").and_then(|l| l.get(0)));
    let asked = text(spec.get("clusterIP")).or(listed);
    let kept = text(old.and_then(|o| o.pointer("/spec/clusterIP")));
    let ip = match asked.or_else(|| kept.clone()) {
        Some(ip) if ip == "None" || Some(&ip) == kept.as_ref() => ip,
        Some(ip) => {
            let list = json!([ip]);
            let at = At { path: "spec.clusterIPs".to_owned(), value: &list };
            if !ip.parse().is_ok_and(is_in_network) {
                let network = format!("{}.{}.0.0/16", SERVICE_NETWORK[0], SERVICE_NETWORK[1]);
                errors.invalid(&at, &format!("failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is {network}"));
            } else if used.addresses.contains(&ip) || is_reserved(&ip) {
                errors.invalid(&at, &format!("failed to allocate IP {ip}: provided IP is already allocated"));
            }
            ip
        }
        None => match (FIRST_ADDRESS..u16::MAX)
            .filter(|n| !RESERVED.contains(n))
            .map(in_network)
            .find(|ip| !used.addresses.contains(ip))
        {
            Some(ip) => ip,
            None => {
                let at = At { path: "spec.clusterIPs".to_owned(), value: &Value::Null };
                errors.invalid(&at, "failed to allocate an IP: range is full");
                return;
            }
        },
    };
    spec.insert("clusterIPs".to_owned(), json!([ip]));
    spec.insert("clusterIP".to_owned(), json!(ip));
}

fn in_network(host: u16) -> String {
    let [high, low] = host.to_be_bytes();
    Ipv4Addr::new(SERVICE_NETWORK[0], SERVICE_NETWORK[1], high, low).to_string()
}

fn is_in_network(ip: Ipv4Addr) -> bool {
    ip.octets()[..2] == SERVICE_NETWORK
}

fn is_reserved(ip: &str) -> bool {
    RESERVED.iter().any(|n| in_network(*n) == ip)
}

/// The node port that the port of this protocol and number had before.
fn kept_port(old: Option<&Value>, port: &Map<String, Value>) -> Option<i64> {
    let ports = old?.pointer("/spec/ports")?.as_array()?;
    let same = |p: &&Value| p.get("port") == port.get("port") && p.get("protocol") == port.get("protocol");
    ports.iter().find(same)?.get("nodePort")?.as_i64()
}

fn node_ports(used: &Used, old: Option<&Value>, spec: &mut Map<String, Value>, errors: &mut Errors) {
    if spec.get("allocateLoadBalancerNodePorts") == Some(&json!(false))
        && spec.get("type") == Some(&json!("LoadBalancer"))
    {
        return;
    }
    let mut own: BTreeSet<i64> = BTreeSet::new();
    // Ports that were asked for come first, so that a free choice does not take one of them.
    for port in defaults::each(spec, "ports") {
        let asked = port.get("nodePort").and_then(Value::as_i64).filter(|n| *n != 0);
        if let Some(number) = asked.or_else(|| kept_port(old, port)) {
            port.insert("nodePort".to_owned(), json!(number));
            own.insert(number);
        }
    }
    for (index, port) in defaults::each(spec, "ports").enumerate() {
        let value = port.get("nodePort").cloned().unwrap_or_default();
        let at = At { path: format!("spec.ports[{index}].nodePort"), value: &value };
        match value.as_i64().filter(|n| *n != 0) {
            Some(number) if !NODE_PORTS.contains(&u16::try_from(number).unwrap_or(0)) => {
                let range = format!("{}-{}", NODE_PORTS.start(), NODE_PORTS.end());
                errors.invalid(
                    &at,
                    &format!("provided port is not in the valid range. The range of valid ports is {range}"),
                );
            }
            Some(number) if used.ports.contains(&number) => {
                errors.invalid(&at, "provided port is already allocated")
            }
            Some(_) => {}
            None => match NODE_PORTS.map(i64::from).find(|n| !used.ports.contains(n) && !own.contains(n)) {
                Some(number) => {
                    port.insert("nodePort".to_owned(), json!(number));
                    own.insert(number);
                }
                None => errors.invalid(&at, "failed to allocate a nodePort: range is full"),
            },
        }
    }
}

/// A service that became ClusterIP gives the ports back that it had.
fn release_node_ports(old: Option<&Value>, spec: &mut Map<String, Value>) {
    for port in defaults::each(spec, "ports") {
        let number = port.get("nodePort").and_then(Value::as_i64);
        if number == Some(0) || (number.is_some() && number == kept_port(old, port)) {
            port.remove("nodePort");
        }
    }
    if old.is_some() {
        spec.remove("externalTrafficPolicy");
        spec.remove("allocateLoadBalancerNodePorts");
    }
}
