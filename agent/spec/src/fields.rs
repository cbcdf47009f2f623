//! The downward API: fields of the pod, and requests and limits of its containers.

use gannet_protocols_model::{ByteSize, Container, CpuMillis, DownwardValue, ResourceField};

use crate::build::PodContext;
use crate::env::SpecError;

/// What pods of the node can have at the most: what a limit counts as where none is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allocatable {
    /// CPU.
    pub cpu: CpuMillis,
    /// Memory.
    pub memory: ByteSize,
    /// Disk for logs, writable layers and emptyDir volumes.
    pub disk: ByteSize,
}

/// What a downward file holds. A resource must name its container.
///
/// # Errors
/// There is no such field, container or resource.
pub fn downward(pod: &PodContext<'_>, value: &DownwardValue) -> Result<String, SpecError> {
    match value {
        DownwardValue::Field(path) => field(pod, path),
        DownwardValue::Resource(wanted) => resource(pod, None, wanted),
    }
}

/// A field of the pod, as the downward API names them.
pub(crate) fn field(pod: &PodContext<'_>, path: &str) -> Result<String, SpecError> {
    let ip = || pod.pod_ip.unwrap_or(pod.node_ip).to_string();
    Ok(match path {
        "metadata.name" => pod.entry.name.clone(),
        "metadata.namespace" => pod.entry.namespace.clone(),
        "metadata.uid" => pod.entry.uid.to_string(),
        "spec.nodeName" => pod.node_name.to_owned(),
        "status.podIP" | "status.podIPs" => ip(),
        "status.hostIP" | "status.hostIPs" => pod.node_ip.to_string(),
        _ => match pod.entry.fields.get(path) {
            Some(value) => value.clone(),
            // A label or annotation that is not there is empty, as in Kubernetes; so is a pod without any.
            None if path.starts_with("metadata.labels") || path.starts_with("metadata.annotations") => {
                String::new()
            }
            None if path == "spec.serviceAccountName" => "default".to_owned(),
            None => return Err(SpecError::Field { path: path.to_owned() }),
        },
    })
}

/// A request or limit in units of the divisor, rounded up. `own` is the container that asks.
pub(crate) fn resource(
    pod: &PodContext<'_>,
    own: Option<&Container>,
    wanted: &ResourceField,
) -> Result<String, SpecError> {
    let named = || pod.manifest.all_containers().find(|c| c.name == wanted.container);
    let container = if wanted.container.is_empty() { own } else { named() };
    let missing = || SpecError::Container { name: wanted.container.clone() };
    let resources = container.ok_or_else(missing)?.resources;
    let (limit, node) = (|l: Option<u64>| l.filter(|&l| l > 0), &pod.allocatable);
    // Where a limit is set and a request is not, the request is the limit, as in Kubernetes.
    let (value, is_cpu) = match wanted.resource.as_str() {
        "limits.cpu" => (limit(resources.cpu_limit.map(|c| c.0)).unwrap_or(node.cpu.0), true),
        "limits.memory" => (limit(resources.memory_limit.map(|m| m.0)).unwrap_or(node.memory.0), false),
        "limits.ephemeral-storage" => {
            (limit(resources.disk_limit.map(|d| d.0)).unwrap_or(node.disk.0), false)
        }
        "requests.cpu" => (resources.cpu_request.or(resources.cpu_limit).unwrap_or_default().0, true),
        "requests.memory" => {
            (resources.memory_request.or(resources.memory_limit).unwrap_or_default().0, false)
        }
        "requests.ephemeral-storage" => {
            (resources.disk_request.or(resources.disk_limit).unwrap_or_default().0, false)
        }
        other => return Err(SpecError::Resource { resource: other.to_owned() }),
    };
    // CPU is known in thousandths; the others in whole units, and so is their divisor.
    let divisor = match (wanted.divisor_millis, is_cpu) {
        (0, true) => 1000,
        (0, false) => 1,
        (millis, true) => millis,
        (millis, false) => millis.div_ceil(1000),
    };
    Ok(value.div_ceil(divisor).to_string())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::testing::{entry, manifest};

    fn check(value: &str, expect: &str) {
        let (entry, manifest) = (
            entry(),
            manifest(
                r#"{"name":"c","image":"i","resources":{"cpu_limit":1500,"memory_request":1048577,"disk_limit":3000}}"#,
            ),
        );
        let pod = PodContext {
            entry: &entry,
            manifest: &manifest,
            node_name: "gw-1",
            node_ip: Ipv4Addr::new(192, 168, 1, 2),
            pod_ip: None,
            node_memory: ByteSize(1 << 30),
            allocatable: Allocatable { cpu: CpuMillis(2000), memory: ByteSize(1 << 30), disk: ByteSize(5) },
        };
        let value: DownwardValue = serde_json::from_str(value).unwrap();
        let got = downward(&pod, &value).unwrap_or_else(|e| e.to_string());
        assert_eq!(got, expect, "{value:?}");
    }

    #[test]
    fn resources() {
        let check = |resource: &str, divisor_millis: u64, expect: &str| {
            check(
                &format!(
                    r#"{{"resource":{{"container":"c","resource":"{resource}","divisor_millis":{divisor_millis}}}}}"#
                ),
                expect,
            );
        };
        check("limits.cpu", 0, "2");
        check("limits.cpu", 1000, "2");
        check("limits.cpu", 1, "1500");
        check("requests.cpu", 1, "1500");
        check("limits.memory", 1000, "1073741824");
        check("limits.memory", 1_048_576_000, "1024");
        check("requests.memory", 1_048_576_000, "2");
        check("limits.ephemeral-storage", 1_000_000, "3");
        check("requests.ephemeral-storage", 0, "3000");
        check("limits.hugepages", 0, "unsupported container resource : limits.hugepages");
    }

    #[test]
    fn fields() {
        check(r#"{"field":"metadata.labels['app']"}"#, "web");
        check(r#"{"field":"metadata.annotations"}"#, "");
        check(r#"{"field":"spec.serviceAccountName"}"#, "default");
        check(r#"{"field":"status.podIPs"}"#, "192.168.1.2");
        check(r#"{"field":"metadata.bogus"}"#, "unsupported fieldPath: metadata.bogus");
        check(
            r#"{"resource":{"container":"x","resource":"limits.cpu","divisor_millis":0}}"#,
            "container x not found",
        );
    }
}
