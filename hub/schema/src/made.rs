//! The kinds of `metrics.k8s.io`, which are made when somebody asks: `k8s-openapi` has no types for them.

use std::collections::BTreeMap;

use gannet_hub_core::{Kind, MADE_KINDS};
use serde_json::{Map, Value, json};

use crate::catalog::{GVK, QUANTITY};
use crate::paths;

/// Where their OpenAPI 3.0 document is.
pub(crate) const GROUP: &str = "apis/metrics.k8s.io/v1beta1";

const PREFIX: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1.";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

fn name(kind: &str) -> String {
    format!("{PREFIX}{kind}")
}

fn reference(name: &str, description: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}"), "description": description})
}

/// Their definitions, by name.
pub(crate) fn definitions() -> BTreeMap<String, Value> {
    let usage = json!({
        "description": "What is used of each resource, over the window.",
        "type": "object",
        "additionalProperties": {"$ref": format!("#/definitions/{QUANTITY}")},
    });
    let text = |description: &str| json!({"description": description, "type": "string"});
    let whole = |kind: &str, description: &str, own: &str, schema: Value| {
        let definition = json!({
            "description": description,
            "type": "object",
            "required": ["timestamp", "window", own],
            "properties": {
                "apiVersion": text("The version of this representation of an object."),
                "kind": text("The REST resource that this object represents."),
                "metadata": reference(META, "Standard object's metadata."),
                "timestamp": {"description": "When it was measured.", "type": "string", "format": "date-time"},
                "window": text("The time over which the CPU was measured, as Go writes a duration."),
                own: schema,
            },
            GVK: gvk(kind),
        });
        (name(kind), definition)
    };
    let list = |kind: &str| {
        let definition = json!({
            "description": format!("{kind}List is a list of {kind}."),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": text("The version of this representation of an object."),
                "kind": text("The REST resource that this object represents."),
                "metadata": reference(LIST_META, "Standard list metadata."),
                "items": {"description": "The figures.", "type": "array", "items": {"$ref": format!("#/definitions/{}", name(kind))}},
            },
            GVK: gvk(&format!("{kind}List")),
        });
        (name(&format!("{kind}List")), definition)
    };
    let container = json!({
        "description": "What one container uses.",
        "type": "object",
        "required": ["name", "usage"],
        "properties": {"name": text("The container's name in the pod."), "usage": usage},
    });
    let containers = json!({
        "description": "What each container that runs uses.",
        "type": "array",
        "items": {"$ref": format!("#/definitions/{}", name("ContainerMetrics"))},
    });
    BTreeMap::from([
        (name("ContainerMetrics"), container),
        whole("NodeMetrics", "What a node uses.", "usage", usage.clone()),
        whole("PodMetrics", "What a pod's containers use.", "containers", containers),
        list("NodeMetrics"),
        list("PodMetrics"),
    ])
}

fn gvk(kind: &str) -> Value {
    json!([{"group": "metrics.k8s.io", "version": "v1beta1", "kind": kind}])
}

/// Their paths: they can be read.
pub(crate) fn paths() -> Map<String, Value> {
    let mut all = Map::new();
    for kind in MADE_KINDS {
        let root = format!("/{GROUP}");
        let plural = kind.plural;
        let place = if kind.is_namespaced() {
            all.insert(format!("{root}/{plural}"), json!({"get": read(kind, "list", "ForAllNamespaces")}));
            format!("{root}/namespaces/{{namespace}}/{plural}")
        } else {
            format!("{root}/{plural}")
        };
        let mut collection = json!({"get": read(kind, "list", "")});
        paths::path_parameters(kind, &mut collection, false);
        all.insert(place.clone(), collection);
        let mut one = json!({"get": read(kind, "get", "")});
        paths::path_parameters(kind, &mut one, true);
        all.insert(format!("{place}/{{name}}"), one);
    }
    all
}

fn read(kind: &Kind, action: &str, suffix: &str) -> Value {
    let (verb, answer) = match action {
        "list" => ("list", format!("{}List", kind.kind)),
        _ => ("read", kind.kind.to_owned()),
    };
    let scope = if kind.is_namespaced() && suffix.is_empty() { "Namespaced" } else { "" };
    let mut operation = json!({
        "description": format!("{verb} {}", kind.kind),
        "operationId": format!("{verb}MetricsV1beta1{scope}{}{suffix}", kind.kind),
        "tags": ["metrics_v1beta1"],
        "consumes": ["*/*"],
        "produces": ["application/json"],
        "schemes": ["https"],
        "responses": {
            "200": {"description": "OK", "schema": {"$ref": format!("#/definitions/{}", name(&answer))}},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": action,
        GVK: {"group": kind.group, "version": kind.version, "kind": kind.kind},
    });
    if action == "list" {
        operation["parameters"] = json!([
            paths::query("fieldSelector", "string", "Restrict the list by these fields."),
            paths::query("labelSelector", "string", "Restrict the list by these labels."),
        ]);
    }
    operation
}
