//! `gannet apply`: make objects as files say. Three-way, as kubectl without `--server-side`: what the last apply set and
//! the file no longer has is removed, what others set is kept.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::file;
use crate::resource::{Resource, text};
use crate::session::Session;
use crate::status::is_not_found;
use crate::three_way::three_way;

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

pub(crate) async fn apply(
    session: &Session,
    args: &ApplyArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
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
    let resource = resource_of(session, &object).await?;
    object["apiVersion"] = json!(resource.group_version);
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

/// The resource of an object in a file, with a word to the person where the file names it by an alias.
pub(crate) async fn resource_of<'a>(session: &'a Session, object: &Value) -> anyhow::Result<&'a Resource> {
    let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let resource = session.kinds().await?.of(api_version, kind)?;
    if resource.group_version != api_version {
        session
            .warn(format!("{api_version} {kind} is {} {kind}: use apiVersion: {0}", resource.group_version));
    }
    Ok(resource)
}

fn ensure_object<'a>(parent: &'a mut Value, field: &str) -> &'a mut Value {
    if !parent[field].is_object() {
        parent[field] = json!({});
    }
    &mut parent[field]
}
