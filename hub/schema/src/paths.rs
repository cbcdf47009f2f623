//! The paths of the served resources and their operations, as Swagger 2.0. Clients read them to learn which kinds and
//! which parameters a server knows.

use gannet_hub_core::Kind;
use serde_json::{Map, Value, json};

use crate::catalog;
use crate::catalog::Served;

const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// All paths of one served kind.
pub(crate) fn of(served: Served) -> Map<String, Value> {
    let Some(definition) = catalog::definition_name(served.kind) else { return Map::new() };
    let resource = Resource { served, definition };
    let mut paths = Map::new();
    let root = if served.group.is_empty() {
        format!("/api/{}", served.version)
    } else {
        format!("/apis/{}/{}", served.group, served.version)
    };
    let plural = served.kind.plural;
    let collection = if served.kind.is_namespaced() {
        paths.insert(format!("{root}/{plural}"), json!({"get": resource.list("ForAllNamespaces")}));
        format!("{root}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{root}/{plural}")
    };
    paths.insert(collection.clone(), resource.collection());
    let item = format!("{collection}/{{name}}");
    paths.insert(item.clone(), resource.item());
    for subresource in served.kind.subresources {
        paths.insert(format!("{item}/{subresource}"), resource.subresource(subresource));
    }
    paths
}

struct Resource {
    served: Served,
    definition: String,
}

impl Resource {
    fn collection(&self) -> Value {
        let mut item = json!({
            "get": self.list(""),
            "post": self.operation("create", "post", "", &self.definition, write_parameters(Some(&self.definition))),
            "delete": self.operation("delete collection of", "deletecollection", "Collection", catalog::STATUS, delete_parameters()),
        });
        path_parameters(self.served.kind, &mut item, false);
        item
    }

    fn item(&self) -> Value {
        let object = &self.definition;
        let mut item = json!({
            "get": self.operation("read the specified", "get", "", object, Vec::new()),
            "put": self.operation("replace the specified", "put", "", object, write_parameters(Some(object))),
            "patch": self.operation("partially update the specified", "patch", "", object, patch_parameters()),
            "delete": self.operation("delete a", "delete", "", catalog::STATUS, delete_parameters()),
        });
        path_parameters(self.served.kind, &mut item, true);
        item
    }

    fn subresource(&self, name: &str) -> Value {
        let object = if name == "scale" { catalog::SCALE } else { &self.definition };
        let suffix = capitalized(name);
        let mut item = json!({
            "get": self.operation(&format!("read {name} of the specified"), "get", &suffix, object, Vec::new()),
            "put": self.operation(&format!("replace {name} of the specified"), "put", &suffix, object, write_parameters(Some(object))),
            "patch": self.operation(&format!("partially update {name} of the specified"), "patch", &suffix, object, patch_parameters()),
        });
        if name == "scale" {
            for verb in ["get", "put", "patch"] {
                item[verb][catalog::GVK] = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
            }
        }
        path_parameters(self.served.kind, &mut item, true);
        item
    }

    fn list(&self, suffix: &str) -> Value {
        let parameters = vec![
            query("allowWatchBookmarks", "boolean", "Ask for BOOKMARK events in a watch."),
            query("continue", "string", "The token with which the answer before this one ended."),
            query("fieldSelector", "string", "Restrict the list by these fields."),
            query("labelSelector", "string", "Restrict the list by these labels."),
            query("limit", "integer", "The most items to answer with at once."),
            query("resourceVersion", "string", "The version that the answer may be as old as."),
            query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
            query("sendInitialEvents", "boolean", "Begin a watch with what exists already."),
            query("timeoutSeconds", "integer", "How long the call may last."),
            query("watch", "boolean", "Answer with changes as they happen."),
        ];
        self.operation("list or watch", "list", suffix, &format!("{}List", self.definition), parameters)
    }

    fn operation(
        &self,
        words: &str,
        action: &str,
        suffix: &str,
        answer: &str,
        parameters: Vec<Value>,
    ) -> Value {
        let Served { kind, group, version } = self.served;
        let verb = match action {
            "get" => "read",
            "post" => "create",
            "put" => "replace",
            "deletecollection" => "delete",
            other => other,
        };
        let scope = if kind.is_namespaced() && suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
        let group_name =
            capitalized(if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) });
        let mut operation = json!({
            "description": format!("{words} {}", kind.kind),
            "operationId": format!("{verb}{group_name}{}{scope}{}{suffix}", capitalized(version), kind.kind),
            "tags": [format!("{}_{version}", group_name.to_lowercase())],
            "consumes": if action == "patch" { json!(PATCH_TYPES) } else { json!(["*/*"]) },
            "produces": ["application/json", "application/yaml"],
            "schemes": ["https"],
            "responses": {
                "200": {"description": "OK", "schema": {"$ref": format!("#/definitions/{answer}")}},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action,
            catalog::GVK: {"group": group, "version": version, "kind": kind.kind},
        });
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        operation
    }
}

/// Which names stand in a path.
pub(crate) fn path_parameters(kind: &Kind, item: &mut Value, named: bool) {
    let path = |name: &str, description: &str| json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true, "description": description});
    let mut parameters = Vec::new();
    if named {
        parameters.push(path("name", &format!("name of the {}", kind.kind)));
    }
    if kind.is_namespaced() {
        parameters.push(path("namespace", "object name and auth scope, such as for teams and projects"));
    }
    if !parameters.is_empty() {
        item["parameters"] = Value::Array(parameters);
    }
}

/// A parameter of a query.
pub(crate) fn query(name: &str, ty: &str, description: &str) -> Value {
    json!({"name": name, "in": "query", "type": ty, "uniqueItems": true, "description": description})
}

fn body(definition: &str) -> Value {
    json!({"name": "body", "in": "body", "required": true, "schema": {"$ref": format!("#/definitions/{definition}")}})
}

fn write_parameters(object: Option<&str>) -> Vec<Value> {
    let mut parameters: Vec<Value> = object.map(body).into_iter().collect();
    parameters.push(query("dryRun", "string", "With the value All, nothing is stored."));
    parameters.push(query("fieldManager", "string", "The name of who makes the change."));
    parameters.push(query(
        "fieldValidation",
        "string",
        "What to do about unknown or duplicate fields: Ignore, Warn or Strict.",
    ));
    parameters
}

fn patch_parameters() -> Vec<Value> {
    let mut parameters = write_parameters(Some(catalog::PATCH));
    parameters.push(query("force", "boolean", "Take fields over from other managers in server-side apply."));
    parameters
}

fn delete_parameters() -> Vec<Value> {
    let mut options = body(catalog::DELETE_OPTIONS);
    options["required"] = json!(false);
    vec![
        options,
        query("dryRun", "string", "With the value All, nothing is deleted."),
        query("gracePeriodSeconds", "integer", "Seconds before the object is deleted."),
        query("propagationPolicy", "string", "Orphan, Background or Foreground."),
    ]
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
