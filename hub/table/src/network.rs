//! Service, Endpoints and EndpointSlice.

use gannet_protocols_model::Timestamp;
use serde_json::Value;

use crate::column::Column;
use crate::field::{NONE, age, first_three, int, labels, list, map, name, or_none, text};

pub(crate) const SERVICE: &[Column] = &[
    Column::NAME,
    Column::text("Type", "How the service is exposed."),
    Column::text("Cluster-IP", "Its address inside the cluster."),
    Column::text("External-IP", "Its addresses outside the cluster."),
    Column::text("Port(s)", "Its ports."),
    Column::AGE,
    Column::text("Selector", "Labels of the pods that it sends traffic to.").wide(),
];

pub(crate) const ENDPOINTS: &[Column] =
    &[Column::NAME, Column::text("Endpoints", "Addresses and ports of ready pods."), Column::AGE];

pub(crate) const ENDPOINT_SLICE: &[Column] = &[
    Column::NAME,
    Column::text("AddressType", "Type of the addresses."),
    Column::text("Ports", "Ports of the endpoints."),
    Column::text("Endpoints", "Addresses of the endpoints."),
    Column::AGE,
];

pub(crate) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let kind = match text(spec, &["type"]) {
        "" => "ClusterIP",
        kind => kind,
    };
    vec![
        name(object),
        kind.into(),
        or_none(text(spec, &["clusterIP"])).into(),
        external_address(object, kind).into(),
        ports(spec).into(),
        age(object, now),
        labels(map(spec, &["selector"])).into(),
    ]
}

fn external_address(object: &Value, kind: &str) -> String {
    let external = || list(object, &["spec", "externalIPs"]).iter().filter_map(Value::as_str);
    match kind {
        "ExternalName" => text(object, &["spec", "externalName"]).to_owned(),
        "LoadBalancer" => {
            let mut balancer: Vec<&str> = list(object, &["status", "loadBalancer", "ingress"])
                .iter()
                .map(|i| if text(i, &["ip"]).is_empty() { text(i, &["hostname"]) } else { text(i, &["ip"]) })
                .filter(|address| !address.is_empty())
                .collect();
            balancer.sort_unstable();
            balancer.dedup();
            balancer.extend(external());
            if balancer.is_empty() { "<pending>".to_owned() } else { balancer.join(",") }
        }
        _ => or_none(&external().collect::<Vec<_>>().join(",")),
    }
}

fn ports(spec: &Value) -> String {
    let ports: Vec<String> = list(spec, &["ports"])
        .iter()
        .map(|p| {
            let protocol = match text(p, &["protocol"]) {
                "" => "TCP",
                protocol => protocol,
            };
            match int(p, &["nodePort"]) {
                0 => format!("{}/{protocol}", int(p, &["port"])),
                node => format!("{}:{node}/{protocol}", int(p, &["port"])),
            }
        })
        .collect();
    or_none(&ports.join(","))
}

pub(crate) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(object, &["subsets"]) {
        let addresses = list(subset, &["addresses"]).iter().map(|a| text(a, &["ip"]));
        let ports = list(subset, &["ports"]);
        for address in addresses {
            if ports.is_empty() {
                all.push(address.to_owned());
            }
            all.extend(ports.iter().map(|p| {
                let port = int(p, &["port"]);
                if address.contains(':') {
                    format!("[{address}]:{port}")
                } else {
                    format!("{address}:{port}")
                }
            }));
        }
    }
    vec![name(object), first_three(&all, NONE).into(), age(object, now)]
}

pub(crate) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, &["ports"])
        .iter()
        .map(|p| match p.get("port").and_then(Value::as_i64) {
            Some(port) => port.to_string(),
            None => "*".to_owned(),
        })
        .collect();
    let addresses: Vec<String> = list(object, &["endpoints"])
        .iter()
        .flat_map(|e| list(e, &["addresses"]))
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    vec![
        name(object),
        text(object, &["addressType"]).into(),
        first_three(&ports, "<unset>").into(),
        first_three(&addresses, "<unset>").into(),
        age(object, now),
    ]
}
