//! The `scale` subresource: `autoscaling/v1` Scale, a view of an object's replicas.

use gannet_hub_core::ObjectKey;
use gannet_hub_core::admit::{FieldError, FieldErrorKind};
use gannet_hub_objects::{Cause, Objects, Part, Status, meta};
use serde_json::{Map, Value, json};

use crate::decode::{self, Payload};
use crate::query::Query;
use crate::route::Served;
use crate::write::{self, Patch};

/// The Scale of an object.
fn of(object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        metadata.insert(field.to_owned(), Value::from(meta::field(object, field)));
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": meta::at(object, &["spec", "replicas"]).as_i64().unwrap_or(0)},
        "status": {
            "replicas": meta::at(object, &["status", "replicas"]).as_i64().unwrap_or(0),
            "selector": selector(meta::at(object, &["spec", "selector"])),
        },
    })
}

fn selector(selector: &Value) -> String {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<String> =
        labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = meta::text(expression, &["key"]);
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let values = values.filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        parts.push(match meta::text(expression, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.sort();
    parts.join(",")
}

pub(crate) fn get(objects: &Objects, served: Served, key: &ObjectKey) -> Result<Value, Status> {
    Ok(of(&objects.get(served.kind, key)?))
}

pub(crate) async fn replace(
    objects: &Objects,
    served: Served,
    key: &ObjectKey,
    payload: Payload<'_>,
    query: &Query,
) -> Result<Value, Status> {
    let (scale, _) = decode::value(payload, "Scale")?;
    set(objects, served, key, query, &|_| Ok(scale.clone())).await
}

pub(crate) async fn patch(
    objects: &Objects,
    served: Served,
    key: &ObjectKey,
    payload: Payload<'_>,
    query: &Query,
) -> Result<Value, Status> {
    let patch = Patch::parse(payload)?;
    let change = |old: &Value| {
        let mut scale = of(old);
        patch.apply(&mut scale, None)?;
        if meta::field(&scale, "resourceVersion") == meta::field(old, "resourceVersion") {
            meta::set_field(&mut scale, "resourceVersion", "");
        }
        Ok(scale)
    };
    set(objects, served, key, query, &change).await
}

/// Gives the object the replicas of the Scale that `wanted` makes of it.
async fn set(
    objects: &Objects,
    served: Served,
    key: &ObjectKey,
    query: &Query,
    wanted: &(dyn Fn(&Value) -> Result<Value, Status> + Send + Sync),
) -> Result<Value, Status> {
    let change = |old: &Value| {
        let scale = wanted(old)?;
        let replicas = replicas(&scale, &key.name)?;
        let mut object = old.clone();
        meta::child(&mut object, "spec").insert("replicas".to_owned(), Value::from(replicas));
        meta::set_field(&mut object, "resourceVersion", meta::field(&scale, "resourceVersion"));
        Ok(object)
    };
    let written = objects.modify(served.kind, key, Part::Main, write::mode(query)?, &change).await?;
    Ok(of(&written.object))
}

fn replicas(scale: &Value, name: &str) -> Result<i32, Status> {
    let said = meta::at(scale, &["spec", "replicas"]);
    let number = match said {
        Value::Null => Some(0),
        said => said.as_i64().and_then(|n| i32::try_from(n).ok()),
    };
    match number {
        Some(replicas) if replicas >= 0 => Ok(replicas),
        Some(_) => {
            let error = FieldError {
                path: "spec.replicas".to_owned(),
                kind: FieldErrorKind::Invalid { value: said.clone() },
                detail: "must be greater than or equal to 0".to_owned(),
            };
            let mut status =
                Status::new(422, "Invalid", format!("Scale.autoscaling {name:?} is invalid: {error}"));
            status.details.name = name.to_owned();
            status.details.group = "autoscaling".to_owned();
            status.details.kind = "Scale".to_owned();
            let (reason, message) = (error.reason().to_owned(), error.message());
            status.details.causes = vec![Cause { reason, message, field: error.path }];
            Err(status)
        }
        None => Err(Status::bad_request(format!(
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal {said} into Go struct field \
             ScaleSpec.spec.replicas of type int32"
        ))),
    }
}
