//! Services.

use serde_json::Value;

use super::page::{Page, shown};
use crate::resource::text;

/// A Service; `slices` are its EndpointSlices.
pub(super) fn service(page: &mut Page, service: &Value, slices: &[Value]) {
    let spec = &service["spec"];
    let joined = |values: &Value| {
        let all: Vec<String> = values.as_array().into_iter().flatten().map(shown).collect();
        if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
    };
    page.field(0, "Name", text(service, "/metadata/name"));
    page.field(0, "Namespace", text(service, "/metadata/namespace"));
    page.map(0, "Labels", &service["metadata"]["labels"], "=");
    page.map(0, "Annotations", &service["metadata"]["annotations"], ": ");
    let selector = spec["selector"].as_object().into_iter().flatten();
    let selector: Vec<String> = selector.map(|(key, value)| format!("{key}={}", shown(value))).collect();
    page.field(0, "Selector", if selector.is_empty() { "<none>".to_owned() } else { selector.join(",") });
    page.field(0, "Type", text(spec, "/type"));
    page.field_if(0, "IP Family Policy", text(spec, "/ipFamilyPolicy"));
    page.field(0, "IP Families", joined(&spec["ipFamilies"]));
    page.field(0, "IP", text(spec, "/clusterIP"));
    page.field(0, "IPs", joined(&spec["clusterIPs"]));
    page.field_if(0, "External Name", text(spec, "/externalName"));
    if spec["externalIPs"].is_array() {
        page.field(0, "External IPs", joined(&spec["externalIPs"]));
    }
    let ingress = service.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let ingress = ingress.into_iter().flatten().map(|i| text(i, "/ip").to_owned() + text(i, "/hostname"));
    page.field_if(0, "LoadBalancer Ingress", ingress.collect::<Vec<_>>().join(", "));
    for port in spec["ports"].as_array().into_iter().flatten() {
        let name = Some(text(port, "/name")).filter(|n| !n.is_empty()).unwrap_or("<unset>");
        let protocol = Some(text(port, "/protocol")).filter(|p| !p.is_empty()).unwrap_or("TCP");
        page.line(0, &["Port:", name, &format!("{}/{protocol}", shown(&port["port"]))]);
        page.line(0, &["TargetPort:", &format!("{}/{protocol}", shown(&port["targetPort"]))]);
        if let Some(number) = port["nodePort"].as_i64().filter(|n| *n > 0) {
            page.line(0, &["NodePort:", name, &format!("{number}/{protocol}")]);
        }
        page.field(0, "Endpoints", endpoints(port, slices));
    }
    page.field(0, "Session Affinity", text(spec, "/sessionAffinity"));
    page.field_if(0, "External Traffic Policy", text(spec, "/externalTrafficPolicy"));
    page.field_if(0, "Internal Traffic Policy", text(spec, "/internalTrafficPolicy"));
}

/// The addresses that are ready behind a port.
fn endpoints(port: &Value, slices: &[Value]) -> String {
    const SHOWN: usize = 3;
    let mut all = Vec::new();
    for slice in slices {
        let mut ports = slice["ports"].as_array().into_iter().flatten();
        let Some(number) = ports.find(|p| text(p, "/name") == text(port, "/name")) else { continue };
        let ready = slice["endpoints"].as_array().into_iter().flatten();
        let ready = ready.filter(|e| e["conditions"]["ready"] != false);
        let addresses = ready.filter_map(|e| e["addresses"].as_array()).flatten();
        all.extend(addresses.map(|address| match shown(address) {
            v6 if v6.contains(':') => format!("[{v6}]:{}", shown(&number["port"])),
            v4 => format!("{v4}:{}", shown(&number["port"])),
        }));
    }
    if all.len() > SHOWN {
        return format!("{} + {} more...", all[..SHOWN].join(","), all.len() - SHOWN);
    }
    all.join(",")
}
