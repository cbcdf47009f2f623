//! Amounts of resources: what a pod asks for, what a node has.

use std::collections::BTreeMap;

use gannet_protocols_model::{ByteSize, CpuMillis};
use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::control::condition;

/// Amounts by resource: cpu in thousandths of a core, everything else in whole units.
pub(super) type Amounts = BTreeMap<String, u64>;

type Quantities = BTreeMap<String, Quantity>;

/// What cannot be read counts as this in a pod: it fits nowhere, rather than anywhere.
const UNREADABLE: u64 = u64::MAX;

fn amount(resource: &str, quantity: &Quantity) -> Option<u64> {
    if resource == "cpu" {
        CpuMillis::parse(&quantity.0).ok().map(|c| c.0)
    } else {
        ByteSize::parse(&quantity.0).ok().map(|b| b.0)
    }
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (resource, amount) in more {
        let at = sum.entry(resource.clone()).or_default();
        *at = at.saturating_add(*amount);
    }
}

fn raise(to: &mut Amounts, floor: &Amounts) {
    for (resource, amount) in floor {
        let at = to.entry(resource.clone()).or_default();
        *at = (*at).max(*amount);
    }
}

fn read(quantities: Option<&Quantities>) -> Amounts {
    let entry = |(resource, quantity): (&String, &Quantity)| {
        (resource.clone(), amount(resource, quantity).unwrap_or(UNREADABLE))
    };
    quantities.into_iter().flatten().map(entry).collect()
}

fn of_container(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    let mut amounts = read(resources.and_then(|r| r.limits.as_ref()));
    amounts.extend(read(resources.and_then(|r| r.requests.as_ref())));
    amounts
}

/// What a pod asks for: its containers together, or its hungriest init container if that is more; sidecars run beside
/// all that start after them; and the overhead.
pub(super) fn requests(spec: &PodSpec) -> Amounts {
    total(spec, of_container)
}

/// What a pod that is bound takes from its node. While a resize is under way, that is the more of what its containers
/// ask for and what they have; where the node cannot give it at all, what they have.
pub(super) fn used(pod: &Pod) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let Some(status) = &pod.status else { return requests(spec) };
    let infeasible = condition(pod, "PodResizePending")
        .is_some_and(|c| c.status == "True" && c.reason.as_deref() == Some("Infeasible"));
    let known = || {
        let main = status.container_statuses.iter().flatten();
        main.chain(status.init_container_statuses.iter().flatten())
    };
    total(spec, |container| {
        let has = known().find(|s| s.name == container.name);
        let given = has.and_then(|s| s.resources.as_ref()).and_then(|r| r.requests.as_ref());
        let allocated = has.and_then(|s| s.allocated_resources.as_ref());
        let mut amounts = read(given);
        raise(&mut amounts, &read(allocated));
        if !infeasible || amounts.is_empty() {
            raise(&mut amounts, &of_container(container));
        }
        amounts
    })
}

fn total(spec: &PodSpec, of_container: impl Fn(&Container) -> Amounts) -> Amounts {
    let mut sidecars = Amounts::new();
    let mut start = Amounts::new();
    for init in spec.init_containers.iter().flatten() {
        let mut moment = of_container(init);
        if is_sidecar(init) {
            add(&mut sidecars, &moment);
            moment = sidecars.clone();
        } else {
            add(&mut moment, &sidecars);
        }
        raise(&mut start, &moment);
    }
    let mut total = sidecars;
    for container in &spec.containers {
        add(&mut total, &of_container(container));
    }
    raise(&mut total, &start);
    let whole = spec.resources.as_ref().and_then(|r| r.requests.as_ref());
    total.extend(read(whole));
    add(&mut total, &read(spec.overhead.as_ref()));
    total.retain(|_, amount| *amount > 0);
    total
}

/// Whether an init container runs beside all that start after it.
pub(super) fn is_sidecar(init: &Container) -> bool {
    init.restart_policy.as_deref() == Some("Always")
}

/// What a node has for pods. What cannot be read is nothing.
pub(super) fn allocatable(node: &Node) -> Amounts {
    let quantities = node.status.as_ref().and_then(|s| s.allocatable.as_ref().or(s.capacity.as_ref()));
    let entry = |(resource, quantity): (&String, &Quantity)| {
        (resource.clone(), amount(resource, quantity).unwrap_or(0))
    };
    quantities.into_iter().flatten().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: serde_json::Value, expected: &[(&str, u64)]) {
        let parsed: PodSpec = serde_json::from_value(spec.clone()).unwrap();
        let expected = expected.iter().map(|&(k, v)| (k.to_owned(), v)).collect();
        assert_eq!(requests(&parsed), expected, "{spec}");
    }

    fn container(cpu: &str) -> serde_json::Value {
        serde_json::json!({"name": "c", "resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> serde_json::Value {
        serde_json::json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn sums_and_maxima() {
        let c = container;
        check(serde_json::json!({"containers": [c("1"), c("500m")]}), &[("cpu", 1500)]);
        check(
            serde_json::json!({"initContainers": [c("2")], "containers": [c("1"), c("500m")]}),
            &[("cpu", 2000)],
        );
        check(
            serde_json::json!({"initContainers": [c("1"), c("1")], "containers": [c("1")]}),
            &[("cpu", 1000)],
        );
        check(
            serde_json::json!({"initContainers": [sidecar("1"), c("3")], "containers": [c("1")]}),
            &[("cpu", 4000)],
        );
        check(
            serde_json::json!({"initContainers": [c("3"), sidecar("1")], "containers": [c("1")]}),
            &[("cpu", 3000)],
        );
        check(
            serde_json::json!({"initContainers": [sidecar("1")], "containers": [c("1")]}),
            &[("cpu", 2000)],
        );
        check(serde_json::json!({"containers": [c("1")], "overhead": {"cpu": "250m"}}), &[("cpu", 1250)]);
        check(
            serde_json::json!({"containers": [{"name": "c", "resources": {"limits": {"memory": "1Ki"}}}]}),
            &[("memory", 1024)],
        );
        check(serde_json::json!({"containers": [c("0")]}), &[]);
        check(serde_json::json!({"containers": [c("much")]}), &[("cpu", u64::MAX)]);
    }

    /// A container `c` that asks for a core, with this status.
    fn check_used(status: serde_json::Value, expected: &[(&str, u64)]) {
        let pod = serde_json::json!({
            "spec": {"containers": [container("1")]},
            "status": status,
        });
        let parsed: Pod = serde_json::from_value(pod).unwrap();
        let expected = expected.iter().map(|&(k, v)| (k.to_owned(), v)).collect();
        assert_eq!(used(&parsed), expected, "{status}");
    }

    #[test]
    fn a_pod_in_a_resize_takes_the_more() {
        let with = |resources: serde_json::Value| serde_json::json!({"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "resources": resources});
        let has = |cpu: &str| with(serde_json::json!({"requests": {"cpu": cpu, "memory": "1Ki"}}));
        check_used(serde_json::json!({}), &[("cpu", 1000)]);
        check_used(serde_json::json!({"containerStatuses": [with(serde_json::json!({}))]}), &[("cpu", 1000)]);
        check_used(
            serde_json::json!({"containerStatuses": [has("500m")]}),
            &[("cpu", 1000), ("memory", 1024)],
        );
        check_used(serde_json::json!({"containerStatuses": [has("2")]}), &[("cpu", 2000), ("memory", 1024)]);
        let pending = |reason: &str| {
            serde_json::json!({
                "containerStatuses": [has("500m")],
                "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
            })
        };
        check_used(pending("Deferred"), &[("cpu", 1000), ("memory", 1024)]);
        check_used(pending("Infeasible"), &[("cpu", 500), ("memory", 1024)]);
        let mut allocated = has("500m");
        allocated["allocatedResources"] = serde_json::json!({"cpu": "3"});
        check_used(serde_json::json!({"containerStatuses": [allocated]}), &[("cpu", 3000), ("memory", 1024)]);
    }
}
