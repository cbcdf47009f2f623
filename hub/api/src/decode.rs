//! Bodies of requests: JSON or YAML, checked against the kind.

use gannet_hub_objects::{Status, meta};
use gannet_hub_schema as schema;
use serde_json::Value;

use crate::route::Served;

/// What to do with fields that the kind does not have, and with fields that are there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

impl FieldValidation {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(Status::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// The body in its media type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payload<'a> {
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
}

/// The media type without its parameters; JSON where none is named.
pub(crate) fn media(content_type: &str) -> &str {
    match content_type.split(';').next().map(str::trim) {
        None | Some("") => "application/json",
        Some(media) => media,
    }
}

pub(crate) fn unsupported(accepted: &[&str]) -> Status {
    let list = accepted.join(", ");
    let text =
        format!("the body of the request was in an unknown format - accepted media types include: {list}");
    Status::new(415, "UnsupportedMediaType", text)
}

/// JSON or YAML as a value, with the fields that were there twice.
pub(crate) fn value(payload: Payload<'_>, kind: &str) -> Result<(Value, Vec<String>), Status> {
    let malformed = |error: String| {
        let what = format!("the object provided is unrecognized (must be of type {kind})");
        Status::bad_request(format!("{what}: couldn't get version/kind; {error}"))
    };
    match media(payload.content_type) {
        "application/json" => {
            let value = serde_json::from_slice(payload.body)
                .map_err(|e| malformed(format!("json parse error: {e}")))?;
            Ok((value, schema::duplicate_fields(payload.body)))
        }
        "application/yaml" | "application/x-yaml" | "text/yaml" => {
            let text =
                std::str::from_utf8(payload.body).map_err(|e| malformed(format!("yaml parse error: {e}")))?;
            let value =
                serde_saphyr::from_str(text).map_err(|e| malformed(format!("yaml parse error: {e}")))?;
            Ok((value, Vec::new()))
        }
        _ => Err(unsupported(&["application/json", "application/yaml"])),
    }
}

/// An object of the kind that the path serves, with the warnings that its fields earn.
pub(crate) fn object(
    payload: Payload<'_>,
    served: Served,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Status> {
    let (mut object, duplicates) = value(payload, served.kind.kind)?;
    if !object.is_object() {
        let kind = served.kind.kind;
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind})"
        )));
    }
    check_type(&object, served)?;
    let warnings = fields(&mut object, served, validation, &duplicates)?;
    Ok((object, warnings))
}

fn check_type(object: &Value, served: Served) -> Result<(), Status> {
    let (version, kind) = (meta::text(object, &["apiVersion"]), meta::text(object, &["kind"]));
    let expected = served.api_version();
    if !version.is_empty() && version != expected && version != served.kind.api_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if !kind.is_empty() && kind != served.kind.kind {
        let wanted = served.kind.kind;
        let version = served.kind.version;
        return Err(Status::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {wanted}"
        )));
    }
    Ok(())
}

/// Checks the fields of an object against its kind and takes out those that the kind does not have. Gives warnings, or
/// an error with `Strict` and for values of a wrong type.
pub(crate) fn fields(
    object: &mut Value,
    served: Served,
    validation: FieldValidation,
    duplicates: &[String],
) -> Result<Vec<String>, Status> {
    let kind = served.kind;
    let cannot = |why: &str| {
        let (name, version) = (kind.kind, kind.version);
        Status::bad_request(format!("{name} in version {version:?} cannot be handled as a {name}: {why}"))
    };
    let report = schema::check_fields(kind.group, kind.version, kind.kind, object).unwrap_or_default();
    if let Some(mistyped) = report.mistyped {
        return Err(cannot(&mistyped));
    }
    let unknown = report.unknown.iter().map(|path| format!("unknown field {path:?}"));
    let twice = duplicates.iter().map(|path| format!("duplicate field {path:?}"));
    let found: Vec<String> = twice.chain(unknown).collect();
    schema::prune(kind.group, kind.version, kind.kind, object);
    match validation {
        FieldValidation::Strict if !found.is_empty() => {
            Err(cannot(&format!("strict decoding error: {}", found.join(", "))))
        }
        FieldValidation::Warn => Ok(found),
        _ => Ok(Vec::new()),
    }
}
