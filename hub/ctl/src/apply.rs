//! `gannet apply`: make objects as files say. Three-way, as kubectl without `--server-side`: what the last apply set and
//! the file no longer has is removed, what others set is kept.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use crate::file;
use crate::resource::text;
use crate::session::Session;
use crate::status::is_not_found;

const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Files, folders, or `-` for the standard input.
    #[arg(short = 'f', long = "filename", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl ApplyArgs {
    /// Applies this file.
    pub fn file(path: PathBuf) -> Self {
        Self { files: vec![path] }
    }
}

pub(crate) async fn apply(session: &Session, args: &ApplyArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for object in file::objects(&args.files)? {
        // As kubectl: one wrong object does not keep the others back.
        match apply_one(session, object).await {
            Ok(line) => writeln!(out, "{line}")?,
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

async fn apply_one(session: &Session, mut object: Value) -> anyhow::Result<String> {
    let resource = session.kinds().await?.of(text(&object, "/apiVersion"), text(&object, "/kind"))?;
    let name = text(&object, "/metadata/name").to_owned();
    anyhow::ensure!(!name.is_empty(), "resource name may not be empty");
    let namespace = match text(&object, "/metadata/namespace") {
        "" => session.namespace().to_owned(),
        named => named.to_owned(),
    };
    let last = object.to_string() + "\n";
    let annotations = ensure_object(ensure_object(&mut object, "metadata"), "annotations");
    annotations[LAST] = json!(last);
    let shown = resource.shown(&name);
    let path = resource.one(&namespace, &name);
    let live = match session.get_json(&path).await {
        Ok(live) => live,
        Err(error) if is_not_found(&error) => {
            let list = resource.list(Some(&namespace));
            session.send(Method::POST, &list, "application/json", Some(&object)).await?;
            return Ok(format!("{shown} created"));
        }
        Err(error) => return Err(error),
    };
    let before = text(&live, "/metadata/resourceVersion").to_owned();
    let last: Value = live
        .pointer("/metadata/annotations")
        .and_then(|a| serde_json::from_str(a[LAST].as_str()?).ok())
        .unwrap_or_else(|| json!({}));
    let Some(patch) = three_way(&last, &object, &live) else { return Ok(format!("{shown} unchanged")) };
    let patched = session.send(Method::PATCH, &path, "application/merge-patch+json", Some(&patch)).await?;
    let changed = text(&patched, "/metadata/resourceVersion") != before;
    Ok(format!("{shown} {}", if changed { "configured" } else { "unchanged" }))
}

fn ensure_object<'a>(parent: &'a mut Value, field: &str) -> &'a mut Value {
    if !parent[field].is_object() {
        parent[field] = json!({});
    }
    &mut parent[field]
}

/// The merge patch (RFC 7386) from `live` to what `wanted` says, removing what `last` set and `wanted` lacks. None where
/// nothing differs.
fn three_way(last: &Value, wanted: &Value, live: &Value) -> Option<Value> {
    let (Some(wanted), Some(live_fields)) = (wanted.as_object(), live.as_object()) else {
        return (wanted != live).then(|| wanted.clone());
    };
    let mut patch = Map::new();
    for (field, value) in wanted {
        match live_fields.get(field) {
            Some(there) => {
                if let Some(inner) = three_way(&last[field], value, there) {
                    patch.insert(field.clone(), inner);
                }
            }
            None => drop(patch.insert(field.clone(), value.clone())),
        }
    }
    for field in last.as_object().into_iter().flat_map(Map::keys) {
        if !wanted.contains_key(field) && live_fields.contains_key(field) {
            patch.insert(field.clone(), Value::Null);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(last: Value, wanted: Value, live: Value, expect: Value) {
        assert_eq!(three_way(&last, &wanted, &live).unwrap_or(Value::Null), expect);
    }

    #[test]
    fn patches() {
        check(json!({}), json!({"a": 1}), json!({"a": 1, "b": 2}), json!(null));
        check(json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "c": 3}), json!({"a": null, "b": 2}));
        check(json!({"a": {"x": 1}}), json!({"a": {"y": 1}}), json!({"a": {"x": 1, "z": 1}}), json!({"a": {"x": null, "y": 1}}));
        check(json!({"a": 1}), json!({}), json!({}), json!(null));
        check(json!({}), json!({"l": [1]}), json!({"l": [1, 2]}), json!({"l": [1]}));
    }
}
