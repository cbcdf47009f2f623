//! `gannet delete`: by file, by name, by label; waits until the objects are gone.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::apply::resource_of;
use crate::file;
use crate::resource::{Resource, query_escape, targets, text};
use crate::session::Session;
use crate::status::is_not_found;

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// `TYPE NAME…` or `TYPE/NAME…`.
    #[arg(value_name = "TYPE[/NAME]", required_unless_present = "files")]
    what: Vec<String>,
    /// The objects in these files.
    #[arg(short = 'f', long = "filename", value_name = "FILE", conflicts_with = "what")]
    files: Vec<PathBuf>,
    /// All of the type with these labels.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// All of the type in the namespace.
    #[arg(long)]
    all: bool,
    /// Seconds that pods get to end; 0 with `--force` removes them from the hub at once.
    #[arg(long)]
    grace_period: Option<u32>,
    /// Remove at once, without waiting for the node's word.
    #[arg(long)]
    force: bool,
    /// An object that is gone already is no error.
    #[arg(long)]
    ignore_not_found: bool,
    /// Return only once the objects are gone.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    wait: bool,
}

pub(crate) async fn delete(
    session: &Session,
    args: &DeleteArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut wanted: Vec<(&Resource, String, String)> = Vec::new();
    if !args.files.is_empty() {
        for object in file::objects(&args.files)? {
            let resource = resource_of(session, &object).await?;
            let namespace = Some(text(&object, "/metadata/namespace")).filter(|n| !n.is_empty());
            let namespace = namespace.unwrap_or(session.namespace()).to_owned();
            wanted.push((resource, namespace, text(&object, "/metadata/name").to_owned()));
        }
    }
    for (word, names) in if args.what.is_empty() { Vec::new() } else { targets(&args.what)? } {
        let resource = session.resource(&word).await?;
        let names = if names.is_empty() { selected(session, args, resource).await? } else { names };
        wanted.extend(names.into_iter().map(|name| (resource, session.namespace().to_owned(), name)));
    }
    let grace = if args.force { Some(args.grace_period.unwrap_or(0)) } else { args.grace_period };
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
    if let Some(grace) = grace {
        options["gracePeriodSeconds"] = json!(grace);
    }
    let mut deleted = Vec::new();
    let mut failed = Vec::new();
    for (resource, namespace, name) in wanted {
        let path = resource.one(&namespace, &name);
        match session.send(Method::DELETE, &path, "application/json", Some(&options)).await {
            Ok(answer) => {
                let how = if args.force { "force deleted" } else { "deleted" };
                writeln!(out, "{} \"{name}\" {how}", resource.shown("").trim_end_matches('/'))?;
                deleted.push((path, uid(&answer)));
            }
            Err(error) if args.ignore_not_found && is_not_found(&error) => (),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    if args.wait {
        for (path, uid) in deleted {
            gone(session, &path, &uid).await?;
        }
    }
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// The answer is the object itself while it is being deleted, else a Status with the uid in its details.
fn uid(answer: &Value) -> String {
    let own = text(answer, "/metadata/uid");
    if own.is_empty() { text(answer, "/details/uid").to_owned() } else { own.to_owned() }
}

async fn selected(session: &Session, args: &DeleteArgs, resource: &Resource) -> anyhow::Result<Vec<String>> {
    anyhow::ensure!(
        args.all || args.selector.is_some(),
        "resource(s) were provided, but no name was specified"
    );
    let query =
        args.selector.as_ref().map(|s| format!("?labelSelector={}", query_escape(s))).unwrap_or_default();
    let list = session.get_json(&format!("{}{query}", resource.list(Some(session.namespace())))).await?;
    let items = list["items"].as_array().into_iter().flatten();
    Ok(items.map(|item| text(item, "/metadata/name").to_owned()).collect())
}

/// Polls until the object, or that incarnation of it, is gone.
async fn gone(session: &Session, path: &str, uid: &str) -> anyhow::Result<()> {
    loop {
        match session.get_json(path).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(object) if !uid.is_empty() && text(&object, "/metadata/uid") != uid => return Ok(()),
            Ok(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
