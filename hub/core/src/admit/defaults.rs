//! Fills in what a client left out, as Kubernetes does, in place. What has an unexpected form is left to validation.

use gannet_protocols_model::ImageReference;
use serde_json::{Map, Value, json};

use super::{priority_of_class, quantity};
use crate::Kind;

/// Sets a field that is missing or null.
pub(super) fn set(object: &mut Map<String, Value>, field: &str, value: Value) {
    let slot = object.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value;
    }
}

/// A struct's field as a struct, made where it is missing or null; `None` where it is something else.
pub(super) fn made<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    set(object, field, json!({}));
    object.get_mut(field)?.as_object_mut()
}

/// A struct's field as a struct, where it is one.
pub(super) fn inner<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    object.get_mut(field)?.as_object_mut()
}

/// The structs in a list.
pub(super) fn each<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// The defaults of a kind.
pub(super) fn apply(kind: &Kind, object: &mut Map<String, Value>) {
    match kind.kind {
        "Pod" => {
            if let Some(spec) = made(object, "spec") {
                pod_spec(spec);
                only_pods(spec);
            }
        }
        "Deployment" => deployment(object),
        "ReplicaSet" => {
            if let Some(spec) = made(object, "spec") {
                set(spec, "replicas", json!(1));
                template(spec);
            }
        }
        "Service" => service(object),
        "Namespace" => namespace(object),
        "Secret" => set(object, "type", json!("Opaque")),
        "Endpoints" => {
            for subset in each(object, "subsets") {
                each(subset, "ports").for_each(|port| set(port, "protocol", json!("TCP")));
            }
        }
        "EndpointSlice" => {
            for port in each(object, "ports") {
                set(port, "name", json!(""));
                set(port, "protocol", json!("TCP"));
            }
        }
        "Node" => {
            if let Some(status) = inner(object, "status") {
                for list in ["capacity", "allocatable"] {
                    quantities(status, list);
                }
            }
        }
        _ => {}
    }
}

fn deployment(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else { return };
    set(spec, "replicas", json!(1));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "progressDeadlineSeconds", json!(600));
    if let Some(strategy) = made(spec, "strategy") {
        if strategy.get("type").is_none_or(|t| t == "") {
            strategy.insert("type".to_owned(), json!("RollingUpdate"));
        }
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = made(strategy, "rollingUpdate")
        {
            set(rolling, "maxUnavailable", json!("25%"));
            set(rolling, "maxSurge", json!("25%"));
        }
    }
    template(spec);
}

fn template(spec: &mut Map<String, Value>) {
    if let Some(template) = inner(spec, "template") {
        made(template, "metadata");
        if let Some(spec) = made(template, "spec") {
            pod_spec(spec);
        }
    }
}

fn namespace(object: &mut Map<String, Value>) {
    let name = object.get("metadata").and_then(|m| m.get("name")).cloned().unwrap_or_default();
    if let Some(meta) = made(object, "metadata")
        && let Some(labels) = made(meta, "labels")
        && name.is_string()
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
    if let Some(spec) = made(object, "spec") {
        set(spec, "finalizers", json!(["kubernetes"]));
    }
}

fn service(object: &mut Map<String, Value>) {
    let Some(spec) = made(object, "spec") else { return };
    for (field, value) in [("type", "ClusterIP"), ("sessionAffinity", "None")] {
        if spec.get(field).is_none_or(|v| v.is_null() || v == "") {
            spec.insert(field.to_owned(), json!(value));
        }
    }
    if spec["sessionAffinity"] == "ClientIP"
        && let Some(config) = made(spec, "sessionAffinityConfig")
        && let Some(client) = made(config, "clientIP")
    {
        set(client, "timeoutSeconds", json!(10_800));
    }
    for port in each(spec, "ports") {
        set(port, "protocol", json!("TCP"));
        if port.get("targetPort").is_none_or(|t| t.is_null() || t == "" || t == 0) {
            let own = port.get("port").cloned().unwrap_or_default();
            port.insert("targetPort".to_owned(), own);
        }
    }
    let ty = spec["type"].clone();
    set(spec, "internalTrafficPolicy", json!("Cluster"));
    if ty == "NodePort" || ty == "LoadBalancer" {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if ty == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    if ty != "ExternalName" {
        set(spec, "ipFamilies", json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", json!("SingleStack"));
    }
}

/// A pod's spec, of a pod or of a template.
fn pod_spec(spec: &mut Map<String, Value>) {
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
    ] {
        set(spec, field, value);
    }
    each(spec, "volumes").for_each(volume);
    for list in ["initContainers", "containers"] {
        each(spec, list).for_each(container);
    }
}

/// What Kubernetes fills in for pods, not for templates.
fn only_pods(spec: &mut Map<String, Value>) {
    set(spec, "enableServiceLinks", json!(true));
    set(spec, "serviceAccountName", json!("default"));
    let account = spec["serviceAccountName"].clone();
    spec.insert("serviceAccount".to_owned(), account);
    let class = spec.get("priorityClassName").and_then(Value::as_str).unwrap_or_default();
    let priority = priority_of_class(class).unwrap_or(0);
    set(spec, "priority", json!(priority));
    set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["initContainers", "containers"] {
        for container in each(spec, list) {
            if host_network {
                for port in each(container, "ports") {
                    let number = port.get("containerPort").cloned().unwrap_or_default();
                    set(port, "hostPort", number);
                }
            }
            requests_from_limits(container);
        }
    }
}

fn requests_from_limits(container: &mut Map<String, Value>) {
    let Some(resources) = inner(container, "resources") else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    if let Some(requests) = made(resources, "requests") {
        limits.into_iter().for_each(|(name, limit)| set(requests, &name, limit));
    }
}

fn volume(volume: &mut Map<String, Value>) {
    if volume.iter().all(|(field, value)| field == "name" || value.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = inner(volume, source) {
            set(source, "defaultMode", json!(0o644));
        }
    }
    if let Some(downward) = inner(volume, "downwardAPI") {
        each(downward, "items").for_each(references);
    }
    if let Some(projected) = inner(volume, "projected") {
        for source in each(projected, "sources") {
            if let Some(downward) = inner(source, "downwardAPI") {
                each(downward, "items").for_each(references);
            }
        }
    }
    if let Some(path) = inner(volume, "hostPath") {
        set(path, "type", json!(""));
    }
    if let Some(dir) = inner(volume, "emptyDir")
        && let Some(limit) = dir.get_mut("sizeLimit")
    {
        quantity::canonicalize(limit);
    }
}

/// What a variable or file is made from.
fn references(holder: &mut Map<String, Value>) {
    if let Some(field) = inner(holder, "fieldRef") {
        set(field, "apiVersion", json!("v1"));
    }
    if let Some(resource) = inner(holder, "resourceFieldRef") {
        set(resource, "divisor", json!("0"));
        resource.get_mut("divisor").into_iter().for_each(quantity::canonicalize);
    }
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let latest = image.parse::<ImageReference>().is_ok_and(|i| i.tag() == Some("latest"));
    let pull_policy = if latest { "Always" } else { "IfNotPresent" };
    set(container, "imagePullPolicy", json!(pull_policy));
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    each(container, "ports").for_each(|port| set(port, "protocol", json!("TCP")));
    for variable in each(container, "env") {
        if let Some(from) = inner(variable, "valueFrom") {
            references(from);
        }
    }
    for probe_field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(fields) = inner(container, probe_field) {
            probe(fields);
        }
    }
    if let Some(lifecycle) = inner(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = inner(lifecycle, hook) {
                http_get(hook);
            }
        }
    }
    if let Some(resources) = made(container, "resources") {
        quantities(resources, "limits");
        quantities(resources, "requests");
    }
}

fn probe(probe: &mut Map<String, Value>) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.get(field).is_none_or(|v| v.is_null() || *v == 0) {
            probe.insert(field.to_owned(), json!(value));
        }
    }
    http_get(probe);
    if let Some(grpc) = inner(probe, "grpc") {
        set(grpc, "service", json!(""));
    }
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(http) = inner(handler, "httpGet") {
        for (field, value) in [("path", "/"), ("scheme", "HTTP")] {
            if http.get(field).is_none_or(|v| v.is_null() || v == "") {
                http.insert(field.to_owned(), json!(value));
            }
        }
    }
}

fn quantities(object: &mut Map<String, Value>, field: &str) {
    inner(object, field).into_iter().flat_map(Map::values_mut).for_each(quantity::canonicalize);
}
