//! From the Swagger 2.0 document in JSON to gnostic's messages.

use prost::Message;
use serde_json::{Map, Value};

use crate::gnostic;

/// The document in gnostic's encoding.
pub(crate) fn encode(document: &Value) -> Vec<u8> {
    self::document(document).encode_to_vec()
}

fn document(json: &Value) -> gnostic::Document {
    let path = entries(&json["paths"])
        .map(|(name, item)| gnostic::NamedPathItem { name: name.clone(), value: Some(path_item(item)) });
    gnostic::Document {
        swagger: text(&json["swagger"]),
        info: Some(gnostic::Info {
            title: text(&json["info"]["title"]),
            version: text(&json["info"]["version"]),
        }),
        paths: Some(gnostic::Paths { path: path.collect() }),
        definitions: Some(schemas(&json["definitions"])),
    }
}

fn path_item(json: &Value) -> gnostic::PathItem {
    let verb = |name: &str| json.get(name).map(operation);
    gnostic::PathItem {
        get: verb("get"),
        put: verb("put"),
        post: verb("post"),
        delete: verb("delete"),
        patch: verb("patch"),
        parameters: parameters(&json["parameters"]),
    }
}

fn operation(json: &Value) -> gnostic::Operation {
    let responses = entries(&json["responses"]).map(|(name, response)| gnostic::NamedResponseValue {
        name: name.clone(),
        value: Some(gnostic::ResponseValue {
            response: Some(gnostic::Response {
                description: text(&response["description"]),
                schema: response.get("schema").map(|s| gnostic::SchemaItem { schema: Some(schema(s)) }),
            }),
        }),
    });
    gnostic::Operation {
        tags: texts(&json["tags"]),
        description: text(&json["description"]),
        operation_id: text(&json["operationId"]),
        produces: texts(&json["produces"]),
        consumes: texts(&json["consumes"]),
        parameters: parameters(&json["parameters"]),
        responses: Some(gnostic::Responses { response_code: responses.collect() }),
        schemes: texts(&json["schemes"]),
        vendor_extension: extensions(json),
    }
}

fn parameters(json: &Value) -> Vec<gnostic::ParametersItem> {
    let Value::Array(list) = json else { return Vec::new() };
    list.iter()
        .map(|p| gnostic::ParametersItem { parameter: Some(gnostic::Parameter { kind: Some(parameter(p)) }) })
        .collect()
}

fn parameter(json: &Value) -> gnostic::ParameterKind {
    let (name, in_, description) = (text(&json["name"]), text(&json["in"]), text(&json["description"]));
    let (required, unique_items) = (json["required"] == true, json["uniqueItems"] == true);
    let r#type = text(&json["type"]);
    let kind = match in_.as_str() {
        "body" => {
            let schema = json.get("schema").map(schema);
            return gnostic::ParameterKind::Body(Box::new(gnostic::BodyParameter {
                name,
                in_,
                required,
                schema,
            }));
        }
        "path" => gnostic::NonBodyKind::Path(gnostic::PathParameter {
            required,
            in_,
            description,
            name,
            r#type,
            unique_items,
        }),
        _ => gnostic::NonBodyKind::Query(gnostic::QueryParameter {
            required,
            in_,
            description,
            name,
            r#type,
            unique_items,
        }),
    };
    gnostic::ParameterKind::Other(gnostic::NonBodyParameter { kind: Some(kind) })
}

fn schemas(json: &Value) -> gnostic::NamedSchemas {
    let named =
        entries(json).map(|(name, s)| gnostic::NamedSchema { name: name.clone(), value: Some(schema(s)) });
    gnostic::NamedSchemas { additional_properties: named.collect() }
}

fn schema(json: &Value) -> gnostic::Schema {
    gnostic::Schema {
        r#ref: text(&json["$ref"]),
        format: text(&json["format"]),
        description: text(&json["description"]),
        required: texts(&json["required"]),
        additional_properties: json
            .get("additionalProperties")
            .map(|s| Box::new(gnostic::AdditionalProperties { schema: Some(Box::new(schema(s))) })),
        r#type: json.get("type").map(|t| gnostic::TypeItem { value: vec![text(t)] }),
        items: json.get("items").map(|s| gnostic::ItemsItem { schema: vec![schema(s)] }),
        properties: json.get("properties").map(schemas),
        vendor_extension: extensions(json),
    }
}

/// JSON is YAML.
fn extensions(json: &Value) -> Vec<gnostic::NamedAny> {
    let own = entries(json).filter(|(name, _)| name.starts_with("x-"));
    own.map(|(name, value)| gnostic::NamedAny {
        name: name.clone(),
        value: Some(gnostic::Any { yaml: format!("{value}\n") }),
    })
    .collect()
}

fn entries(json: &Value) -> impl Iterator<Item = (&String, &Value)> {
    json.as_object().into_iter().flat_map(Map::iter)
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn texts(json: &Value) -> Vec<String> {
    json.as_array().into_iter().flatten().map(text).collect()
}

#[cfg(test)]
#[path = "protobuf_test.rs"]
mod tests;
