//! Requests, limits and devices of a container.

use std::collections::BTreeMap;

use gannet_protocols_model as model;
use gannet_protocols_model::{ByteSize, CpuMillis, QuantityError, parse_quantity_nanos};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Extended resources of this prefix are the devices that a gateway's configuration names.
const DEVICE_PREFIX: &str = "devices.gannet.dev/";

type Quantities = Option<BTreeMap<String, Quantity>>;

fn read<T>(
    map: &Quantities,
    name: &str,
    parse: fn(&str) -> Result<T, QuantityError>,
) -> Result<Option<T>, String> {
    let Some(quantity) = map.as_ref().and_then(|m| m.get(name)) else { return Ok(None) };
    parse(&quantity.0).map(Some).map_err(|e| format!("{name} {:?}: {e}", quantity.0))
}

/// Requests and limits, or what is wrong with them.
pub(super) fn resources(container: &core::Container) -> Result<model::Resources, String> {
    let r = container.resources.clone().unwrap_or_default();
    Ok(model::Resources {
        cpu_request: read(&r.requests, "cpu", CpuMillis::parse)?,
        cpu_limit: read(&r.limits, "cpu", CpuMillis::parse)?,
        memory_request: read(&r.requests, "memory", ByteSize::parse)?,
        memory_limit: read(&r.limits, "memory", ByteSize::parse)?,
        disk_request: read(&r.requests, "ephemeral-storage", ByteSize::parse)?,
        disk_limit: read(&r.limits, "ephemeral-storage", ByteSize::parse)?,
    })
}

/// The devices that a container gets: how many of each.
pub(super) fn devices(container: &core::Container) -> Result<BTreeMap<String, u32>, String> {
    let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    let mut devices = BTreeMap::new();
    for (name, quantity) in limits.into_iter().flatten().filter(|(n, _)| n.starts_with(DEVICE_PREFIX)) {
        let wrong = || format!("{name} {:?}: must be an integer", quantity.0);
        let count = ByteSize::parse(&quantity.0).map_err(|_| wrong())?;
        let count = u32::try_from(count.0).map_err(|_| wrong())?;
        if count > 0 {
            devices.insert(name.clone(), count);
        }
    }
    Ok(devices)
}

/// Which changes of a container's resources need its restart.
pub(super) fn resize_restarts(container: &core::Container) -> model::ResizeRestarts {
    let policies = || container.resize_policy.iter().flatten();
    let restarts =
        |name: &str| policies().any(|p| p.resource_name == name && p.restart_policy == "RestartContainer");
    model::ResizeRestarts { cpu: restarts("cpu"), memory: restarts("memory") }
}

/// A request or limit of a container of the pod; kubelet's words where there is no such container.
pub(super) fn field(
    spec: &core::PodSpec,
    selector: &core::ResourceFieldSelector,
) -> Result<model::ResourceField, String> {
    let container = selector.container_name.clone().unwrap_or_default();
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    if !container.is_empty() && !all.any(|c| c.name == container) {
        return Err(format!("container {container} not found"));
    }
    let divisor = selector.divisor.as_ref().and_then(|q| parse_quantity_nanos(&q.0).ok()).unwrap_or(0);
    let divisor_millis = match divisor / 1_000_000 {
        0 => 1000,
        millis => u64::try_from(millis).unwrap_or(u64::MAX),
    };
    Ok(model::ResourceField { container, resource: selector.resource.clone(), divisor_millis })
}
