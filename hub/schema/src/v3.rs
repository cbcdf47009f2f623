//! The OpenAPI 3.0 documents, one a group and version, made from the Swagger 2.0 ones.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::catalog::Served;
use crate::{catalog, made, paths, v2};

const COMPONENTS: &str = "#/components/schemas/";

/// `api/v1`, `apis/apps/v1`, in order.
pub(crate) fn groups() -> Vec<String> {
    let all: BTreeSet<String> =
        catalog::served().map(|s| group_path(&s)).chain([made::GROUP.to_owned()]).collect();
    all.into_iter().collect()
}

fn group_path(served: &Served) -> String {
    if served.group.is_empty() {
        format!("api/{}", served.version)
    } else {
        format!("apis/{}/{}", served.group, served.version)
    }
}

/// Where each document is, with a hash by which clients cache it.
pub(crate) fn index() -> Value {
    let mut paths = Map::new();
    for path in groups() {
        let hash = hex::encode_upper(Sha256::digest(document(&path).to_string()));
        paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
    }
    json!({"paths": paths})
}

/// The document of `api/v1` or `apis/apps/v1`.
pub(crate) fn document(path: &str) -> Value {
    let mut group_paths = Map::new();
    for served in catalog::served().filter(|s| group_path(s) == path) {
        for (path, item) in paths::of(served) {
            group_paths.insert(path, path_item(item));
        }
    }
    if path == made::GROUP {
        group_paths.extend(made::paths().into_iter().map(|(path, item)| (path, path_item(item))));
    }
    let definitions = catalog::definitions();
    let mut wanted = BTreeSet::new();
    for item in group_paths.values() {
        collect(item, &definitions, &mut wanted);
    }
    let schemas: Map<String, Value> = wanted
        .iter()
        .filter_map(|name| definitions.get(name).map(|d| (name.clone(), schema(d.clone()))))
        .collect();
    json!({"openapi": "3.0.0", "info": v2::info(), "paths": group_paths, "components": {"schemas": schemas}})
}

/// Names of definitions that a value refers to, and those that they refer to.
fn collect(value: &Value, definitions: &BTreeMap<String, Value>, wanted: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let target = fields.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
            if let Some(name) = target
                && let Some(definition) = definitions.get(name)
                && wanted.insert(name.to_owned())
            {
                collect(definition, definitions, wanted);
            }
            fields.values().for_each(|v| collect(v, definitions, wanted));
        }
        Value::Array(values) => values.iter().for_each(|v| collect(v, definitions, wanted)),
        _ => {}
    }
}

fn path_item(item: Value) -> Value {
    let Value::Object(fields) = item else { return item };
    let converted = fields.into_iter().map(|(key, value)| match key.as_str() {
        "parameters" => (key, parameters(value).0),
        _ => (key, operation(value)),
    });
    Value::Object(converted.collect())
}

fn operation(operation: Value) -> Value {
    let Value::Object(mut fields) = operation else { return operation };
    fields.remove("schemes");
    let consumes = strings(fields.remove("consumes"));
    let produces = strings(fields.remove("produces"));
    if let Some(list) = fields.remove("parameters") {
        let (list, body) = parameters(list);
        fields.insert("parameters".to_owned(), list);
        if let Some(body) = body {
            let content = content(&consumes, &schema(body["schema"].clone()));
            fields
                .insert("requestBody".to_owned(), json!({"content": content, "required": body["required"]}));
        }
    }
    if let Some(Value::Object(responses)) = fields.get_mut("responses") {
        for response in responses.values_mut() {
            if let Some(answer) = response.as_object_mut().and_then(|r| r.remove("schema")) {
                response["content"] = content(&produces, &schema(answer));
            }
        }
    }
    Value::Object(fields)
}

/// The parameters without the body, and the body.
fn parameters(list: Value) -> (Value, Option<Value>) {
    let Value::Array(list) = list else { return (list, None) };
    let mut body = None;
    let mut others = Vec::new();
    for mut parameter in list {
        if parameter["in"] == "body" {
            body = Some(parameter);
            continue;
        }
        if let Some(fields) = parameter.as_object_mut() {
            let ty = fields.remove("type");
            fields.remove("uniqueItems");
            fields.insert("schema".to_owned(), json!({"type": ty, "uniqueItems": true}));
        }
        others.push(parameter);
    }
    (Value::Array(others), body)
}

fn strings(list: Option<Value>) -> Vec<String> {
    let Some(Value::Array(list)) = list else { return Vec::new() };
    list.into_iter().filter_map(|v| v.as_str().map(ToOwned::to_owned)).collect()
}

fn content(media_types: &[String], schema: &Value) -> Value {
    Value::Object(media_types.iter().map(|m| (m.clone(), json!({"schema": schema}))).collect())
}

/// A schema in the words of 3.0.
fn schema(schema_v2: Value) -> Value {
    match schema_v2 {
        Value::Object(mut fields) => {
            if fields.get("format").is_some_and(|format| format == "int-or-string") {
                fields.remove("type");
                fields.insert("oneOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
            }
            if let Some(target) =
                fields.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next())
            {
                let reference = json!({"$ref": format!("{COMPONENTS}{target}")});
                fields.remove("$ref");
                if fields.is_empty() {
                    return reference;
                }
                // Nothing may stand beside a reference in 3.0.
                fields.insert("allOf".to_owned(), json!([reference]));
            }
            Value::Object(fields.into_iter().map(|(k, v)| (k, schema(v))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(schema).collect()),
        other => other,
    }
}
