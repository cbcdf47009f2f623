//! Create, update, patch and delete: bytes to a change, and what came of it to an answer.

use std::sync::{Mutex, PoisonError};

use gannet_hub_core::{Kind, ObjectKey, Precondition};
use gannet_hub_objects::{
    DeleteOptions, Deleted, Objects, Part, Propagation, Status, WriteMode, Written, meta,
};
use gannet_hub_schema::Shape;
use serde_json::{Value, json};

use crate::decode::{self, FieldValidation, Payload, media};
use crate::query::Query;
use crate::read::{self, Wanted};
use crate::route::Served;

/// Media types of patches. Server-side apply (`application/apply-patch+yaml`) is not served yet.
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

pub(crate) fn mode(query: &Query) -> Result<WriteMode, Status> {
    Ok(if query.dry_run()? { WriteMode::DryRun } else { WriteMode::Commit })
}

pub(crate) async fn create(
    objects: &Objects,
    served: Served,
    namespace: &str,
    payload: Payload<'_>,
    query: &Query,
) -> Result<Written, Status> {
    let validation = FieldValidation::parse(query.get("fieldValidation"))?;
    let mode = mode(query)?;
    let (object, mut warnings) = decode::object(payload, served, validation)?;
    let written = objects.create(served.kind, namespace, object, mode).await?;
    warnings.extend(written.warnings);
    Ok(Written { object: written.object, warnings })
}

pub(crate) async fn replace(
    objects: &Objects,
    served: Served,
    key: &ObjectKey,
    part: Part,
    payload: Payload<'_>,
    query: &Query,
) -> Result<Written, Status> {
    let validation = FieldValidation::parse(query.get("fieldValidation"))?;
    let mode = mode(query)?;
    let (object, mut warnings) = decode::object(payload, served, validation)?;
    let written = objects.modify(served.kind, key, part, mode, &|_| Ok(object.clone())).await?;
    warnings.extend(written.warnings);
    Ok(Written { object: written.object, warnings })
}

pub(crate) async fn patch(
    objects: &Objects,
    served: Served,
    key: &ObjectKey,
    part: Part,
    payload: Payload<'_>,
    query: &Query,
) -> Result<Written, Status> {
    let validation = FieldValidation::parse(query.get("fieldValidation"))?;
    let mode = mode(query)?;
    let patch = Patch::parse(payload)?;
    let shape = Shape::of(served.kind.group, served.kind.version, served.kind.kind);
    let warnings = Mutex::new(Vec::new());
    let change = |old: &Value| {
        let mut object = old.clone();
        object["apiVersion"] = Value::from(served.api_version());
        patch.apply(&mut object, shape)?;
        // A revision that the patch does not name is no condition.
        if meta::field(&object, "resourceVersion") == meta::field(old, "resourceVersion") {
            meta::set_field(&mut object, "resourceVersion", "");
        }
        *warnings.lock().unwrap_or_else(PoisonError::into_inner) =
            decode::fields(&mut object, served, validation, &patch.duplicates)?;
        Ok(object)
    };
    let written = objects.modify(served.kind, key, part, mode, &change).await?;
    let mut warnings = warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
    warnings.extend(written.warnings);
    Ok(Written { object: written.object, warnings })
}

/// A patch of one of the types.
#[derive(Debug)]
pub(crate) struct Patch {
    kind: &'static str,
    value: Value,
    duplicates: Vec<String>,
}

impl Patch {
    pub(crate) fn parse(payload: Payload<'_>) -> Result<Self, Status> {
        let wanted = media(payload.content_type);
        let kind =
            PATCHES.iter().find(|kind| **kind == wanted).ok_or_else(|| decode::unsupported(PATCHES))?;
        let value = serde_json::from_slice(payload.body)
            .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
        let duplicates = gannet_hub_schema::duplicate_fields(payload.body);
        Ok(Self { kind, value, duplicates })
    }

    pub(crate) fn apply(&self, object: &mut Value, shape: Option<Shape>) -> Result<(), Status> {
        use gannet_hub_patch::{JsonPatchError, json_patch, merge_patch, strategic_merge_patch};
        match self.kind {
            "application/json-patch+json" => json_patch(object, &self.value).map_err(|error| match &error {
                JsonPatchError::Malformed(cause) => Status::bad_request(format!("{error}: {cause}")),
                JsonPatchError::TooLong { .. } => {
                    Status::new(413, "RequestEntityTooLarge", error.to_string())
                }
                JsonPatchError::Inapplicable(cause) => Status::new(
                    422,
                    "Invalid",
                    format!("the server rejected our request due to an error in our request: {cause}"),
                ),
            }),
            "application/merge-patch+json" if self.value.is_object() => {
                merge_patch(object, &self.value);
                Ok(())
            }
            "application/merge-patch+json" => {
                Err(Status::bad_request("error decoding patch: a merge patch is an object"))
            }
            _ => strategic_merge_patch(object, &self.value, shape)
                .map_err(|e| Status::bad_request(e.to_string())),
        }
    }
}

/// Reads `DeleteOptions` from body and query; the body wins.
pub(crate) fn delete_options(payload: Payload<'_>, query: &Query) -> Result<DeleteOptions, Status> {
    let body = match payload.body {
        [] => json!({}),
        _ => decode::value(payload, "DeleteOptions")?.0,
    };
    let text =
        |name: &str| body[name].as_str().map(str::to_owned).or_else(|| query.get(name).map(str::to_owned));
    let policy = text("propagationPolicy");
    let orphan = body["orphanDependents"]
        .as_bool()
        .or_else(|| query.get("orphanDependents").map(|_| query.flag("orphanDependents")));
    let propagation = match (policy.as_deref(), orphan) {
        (Some(_), Some(_)) => {
            return Err(Status::bad_request(
                "propagationPolicy: Invalid value: orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        (None | Some("Background"), None | Some(false)) => Propagation::Background,
        (Some("Foreground"), _) => Propagation::Foreground,
        (Some("Orphan"), _) | (None, Some(true)) => Propagation::Orphan,
        (Some(other), _) => {
            return Err(Status::bad_request(format!(
                "propagationPolicy: Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
            )));
        }
    };
    let grace = body["gracePeriodSeconds"].as_i64();
    let grace_period_seconds = if grace.is_some() { grace } else { query.number("gracePeriodSeconds")? };
    if grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        return Err(Status::bad_request(
            "gracePeriodSeconds: Invalid value: must be greater than or equal to 0",
        ));
    }
    let condition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
    let dry_run = body["dryRun"].as_array().is_some_and(|list| list.iter().any(|v| v == "All"));
    Ok(DeleteOptions {
        grace_period_seconds,
        propagation,
        precondition: Precondition { uid: condition("uid"), resource_version: condition("resourceVersion") },
        mode: if dry_run { WriteMode::DryRun } else { mode(query)? },
    })
}

/// Deletes one object: a `Status` when it is gone, the object while it goes.
pub(crate) async fn delete(
    objects: &Objects,
    kind: &'static Kind,
    key: &ObjectKey,
    options: &DeleteOptions,
) -> Result<Result<Value, Value>, Status> {
    Ok(match objects.delete(kind, key, options).await? {
        Deleted::Begun(object) => Ok(object),
        Deleted::Gone(object) => {
            let mut details =
                json!({"name": key.name, "kind": kind.plural, "uid": meta::field(&object, "uid")});
            if !kind.group.is_empty() {
                details["group"] = Value::from(kind.group);
            }
            Err(
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
            )
        }
    })
}

/// Deletes all objects that the query selects. Gives them as they were or are.
pub(crate) async fn delete_all(
    objects: &Objects,
    wanted: &Wanted,
    query: &Query,
    options: &DeleteOptions,
) -> Result<Vec<Value>, Status> {
    let (_, items) = read::list(objects, wanted, query)?;
    let mut deleted = Vec::with_capacity(items.len());
    for item in items {
        let result = objects.delete(wanted.kind, &meta::key(&item), options).await;
        match result {
            Ok(Deleted::Begun(object) | Deleted::Gone(object)) => deleted.push(object),
            Err(status) if status.reason == "NotFound" => {}
            Err(status) => return Err(status),
        }
    }
    Ok(deleted)
}
