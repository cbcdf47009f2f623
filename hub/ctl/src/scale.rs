//! `gannet scale`: how many pods.

use std::io::Write;

use clap::Args;
use http::Method;
use serde_json::json;

use crate::resource::targets;
use crate::session::Session;

/// Arguments of `scale`.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// `TYPE NAME…` or `TYPE/NAME…`.
    #[arg(required = true, value_name = "TYPE/NAME")]
    what: Vec<String>,
    /// How many pods.
    #[arg(long)]
    replicas: u32,
}

pub(crate) async fn scale(
    session: &Session,
    args: &ScaleArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    for (word, names) in targets(&args.what)? {
        let resource = session.resource(&word).await?;
        anyhow::ensure!(!names.is_empty(), "the name of the {} is missing", resource.kind);
        for name in names {
            let path = format!("{}/scale", resource.one(session.namespace(), &name));
            let patch = json!({"spec": {"replicas": args.replicas}});
            session.send(Method::PATCH, &path, "application/merge-patch+json", Some(&patch)).await?;
            writeln!(out, "{} scaled", resource.shown(&name))?;
        }
    }
    Ok(())
}
