//! From a ReplicaSet's template to a pod.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::draft::Draft;
use super::meta;
use crate::{Kind, ObjectKey};

/// Names end in a suffix of five, and are to be a host name (63 characters) as a whole.
const MAX_BASE: usize = 58;

/// How many suffixes are tried. With 27^5 of them the second is free even among a million pods.
const ATTEMPTS: usize = 8;

/// A new pod of the set; `None` where no free name was found or there is no template.
pub(crate) fn instantiate(draft: &mut Draft<'_>, set: &ReplicaSet) -> Option<Pod> {
    let template = set.spec.template.as_ref()?;
    let generate_name = format!("{}-", meta::name(&set.metadata));
    let base: String = generate_name.chars().take(MAX_BASE).collect();
    let namespace = meta::namespace(&set.metadata);
    let name = (0..ATTEMPTS).find_map(|_| {
        let name = format!("{base}{}", draft.ids.suffix());
        draft.pods.get(&ObjectKey::new(namespace, &name)).is_none().then_some(name)
    })?;
    let from = template.metadata.clone().unwrap_or_default();
    let mut spec = template.spec.clone().unwrap_or_default();
    complete(&mut spec);
    let metadata = ObjectMeta {
        name: Some(name),
        generate_name: Some(generate_name),
        namespace: Some(namespace.to_owned()),
        uid: Some(draft.ids.uid()),
        generation: Some(1),
        creation_timestamp: Some(meta::time(draft.now)),
        labels: from.labels,
        annotations: from.annotations,
        finalizers: from.finalizers,
        owner_references: Some(vec![meta::controller_reference(Kind::REPLICA_SET, &set.metadata)]),
        ..ObjectMeta::default()
    };
    let status = PodStatus {
        phase: Some("Pending".to_owned()),
        qos_class: Some(qos_class(&spec).to_owned()),
        ..PodStatus::default()
    };
    Some(Pod { metadata, spec: Some(spec), status: Some(status) })
}

/// What a pod has and a template may lack. Other defaults were filled in when the template was admitted.
fn complete(spec: &mut PodSpec) {
    let account = spec.service_account_name.get_or_insert_with(|| "default".to_owned());
    spec.service_account = Some(account.clone());
    spec.enable_service_links.get_or_insert(true);
    let class = spec.priority_class_name.as_deref().unwrap_or_default();
    spec.priority.get_or_insert(crate::admit::priority_of_class(class).unwrap_or(0));
    spec.preemption_policy.get_or_insert_with(|| "PreemptLowerPriority".to_owned());
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let Some(resources) = &mut container.resources else { continue };
        let Some(limits) = resources.limits.clone() else { continue };
        let requests = resources.requests.get_or_insert_default();
        for (resource, limit) in limits {
            requests.entry(resource).or_insert(limit);
        }
    }
}

/// `status.qosClass`.
pub(crate) fn qos_class(spec: &PodSpec) -> &'static str {
    let all = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let counted = |r: &ResourceRequirements| {
        let amounts = r.requests.iter().chain(r.limits.iter()).flat_map(BTreeMap::iter);
        amounts
            .into_iter()
            .any(|(name, amount)| matches!(name.as_str(), "cpu" | "memory") && !is_zero(&amount.0))
    };
    if !all().any(|c| c.resources.as_ref().is_some_and(counted)) {
        return "BestEffort";
    }
    if all().all(is_guaranteed) { "Guaranteed" } else { "Burstable" }
}

fn is_guaranteed(container: &Container) -> bool {
    let Some(resources) = &container.resources else { return false };
    ["cpu", "memory"].iter().all(|&name| {
        let limit = resources.limits.as_ref().and_then(|l| l.get(name));
        let request = resources.requests.as_ref().and_then(|r| r.get(name)).or(limit);
        let nanos = |q: &str| gannet_protocols_model::parse_quantity_nanos(q).ok();
        match (limit, request) {
            (Some(limit), Some(request)) => !is_zero(&limit.0) && nanos(&limit.0) == nanos(&request.0),
            _ => false,
        }
    })
}

fn is_zero(quantity: &str) -> bool {
    gannet_protocols_model::parse_quantity_nanos(quantity) == Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(containers: serde_json::Value, expected: &str) {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({ "containers": containers })).unwrap();
        assert_eq!(qos_class(&spec), expected, "{containers}");
    }

    #[test]
    fn quality_of_service() {
        let full = serde_json::json!({"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "0.5", "memory": "1024Mi"}});
        let limits = serde_json::json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let some = serde_json::json!({"requests": {"cpu": "1"}});
        let zero = serde_json::json!({"requests": {"cpu": "0"}});
        check(serde_json::json!([{"name": "a"}]), "BestEffort");
        check(serde_json::json!([{"name": "a", "resources": zero}]), "BestEffort");
        check(serde_json::json!([{"name": "a", "resources": full}]), "Guaranteed");
        check(serde_json::json!([{"name": "a", "resources": limits}]), "Guaranteed");
        check(serde_json::json!([{"name": "a", "resources": full}, {"name": "b"}]), "Burstable");
        check(serde_json::json!([{"name": "a", "resources": some}]), "Burstable");
    }
}
