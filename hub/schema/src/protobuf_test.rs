//! The protobuf document says what the JSON one says.

use prost::Message;
use serde_json::{Value, json};

use crate::{gnostic, v2};

/// Back to JSON, by the meaning of gnostic's messages.
fn schema_json(schema: &gnostic::Schema) -> Value {
    let mut json = json!({});
    for (key, text) in
        [("$ref", &schema.r#ref), ("format", &schema.format), ("description", &schema.description)]
    {
        if !text.is_empty() {
            json[key] = json!(text);
        }
    }
    if !schema.required.is_empty() {
        json["required"] = json!(schema.required);
    }
    if let Some(inner) = schema.additional_properties.as_ref().and_then(|a| a.schema.as_ref()) {
        json["additionalProperties"] = schema_json(inner);
    }
    if let Some(ty) = &schema.r#type {
        json["type"] = json!(ty.value[0]);
    }
    if let Some(items) = &schema.items {
        json["items"] = schema_json(&items.schema[0]);
    }
    if let Some(properties) = &schema.properties {
        json["properties"] = schemas_json(properties);
    }
    for extension in &schema.vendor_extension {
        json[extension.name.as_str()] =
            serde_json::from_str(&extension.value.as_ref().unwrap().yaml).unwrap();
    }
    json
}

fn schemas_json(schemas: &gnostic::NamedSchemas) -> Value {
    schemas
        .additional_properties
        .iter()
        .map(|s| (s.name.clone(), schema_json(s.value.as_ref().unwrap())))
        .collect()
}

#[test]
fn definitions_survive() {
    let json = v2::document();
    let decoded = gnostic::Document::decode(super::encode(&json).as_slice()).unwrap();
    let definitions = schemas_json(decoded.definitions.as_ref().unwrap());
    for (name, definition) in json["definitions"].as_object().unwrap() {
        assert_eq!(&definitions[name], definition, "{name}");
    }
}

#[test]
fn paths_survive() {
    let json = v2::document();
    let decoded = gnostic::Document::decode(super::encode(&json).as_slice()).unwrap();
    let paths = decoded.paths.unwrap().path;
    assert_eq!(paths.len(), json["paths"].as_object().unwrap().len());
    let deployment =
        paths.iter().find(|p| p.name == "/api/v1/namespaces/{namespace}/deployments/{name}").unwrap();
    let patch = deployment.value.as_ref().unwrap().patch.as_ref().unwrap();
    let names: Vec<&str> = patch
        .parameters
        .iter()
        .filter_map(|p| match p.parameter.as_ref()?.kind.as_ref()? {
            gnostic::ParameterKind::Other(gnostic::NonBodyParameter {
                kind: Some(gnostic::NonBodyKind::Query(q)),
            }) => Some(q.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    let gvk = patch.vendor_extension.iter().find(|x| x.name == "x-kubernetes-group-version-kind").unwrap();
    assert_eq!(
        gvk.value.as_ref().unwrap().yaml,
        "{\"group\":\"\",\"kind\":\"Deployment\",\"version\":\"v1\"}\n"
    );
}
