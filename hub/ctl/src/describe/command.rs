//! The command: which objects, in which words.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::page::Page;
use super::{events, generic, node, pod, service, workload};
use crate::resource::{Resource, query_escape, targets, text};
use crate::rollout::selector;
use crate::session::Session;

/// Arguments of `describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// `TYPE`, `TYPE NAME…` or `TYPE/NAME…`.
    #[arg(required = true, value_name = "TYPE[/NAME]")]
    what: Vec<String>,
    /// In every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Also the events.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    show_events: bool,
}

pub(crate) async fn describe(
    session: &Session,
    args: &DescribeArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut first = true;
    let mut failed = Vec::new();
    for (word, names) in targets(&args.what)? {
        let resource = session.resource(&word).await?;
        let (objects, missing) = objects(session, args, resource, names).await?;
        failed.extend(missing);
        for object in objects {
            if !std::mem::take(&mut first) {
                writeln!(out, "\n")?;
            }
            let mut page = Page::default();
            describe_one(session, resource, &object, &mut page).await?;
            if args.show_events && resource.kind != "Event" {
                events::events(&mut page, &happened(session, &object).await?, Timestamp::now());
            }
            page.print(out)?;
        }
    }
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    if first {
        writeln!(out, "No resources found in {} namespace.", session.namespace())?;
    }
    Ok(())
}

/// The pod template of a ReplicaSet, for `rollout history --revision`.
pub(crate) fn template(set: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let mut page = Page::default();
    workload::template(&mut page, &set["spec"]["template"]);
    page.print(out)
}

/// What was asked for, and what the hub said of those that it lacks.
async fn objects(
    session: &Session,
    args: &DescribeArgs,
    resource: &Resource,
    names: Vec<String>,
) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    if names.is_empty() {
        let namespace = (!args.all_namespaces).then(|| session.namespace());
        let query = args.selector.as_ref().map(|s| format!("?labelSelector={}", query_escape(s)));
        let path = format!("{}{}", resource.list(namespace), query.unwrap_or_default());
        let mut list = session.get_json(&path).await?;
        return match list["items"].take() {
            Value::Array(items) => Ok((items, Vec::new())),
            _ => Ok((Vec::new(), Vec::new())),
        };
    }
    let (mut objects, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match session.get_json(&resource.one(session.namespace(), &name)).await {
            Ok(object) => objects.push(object),
            Err(error) => missing.push(format!("{error:#}")),
        }
    }
    Ok((objects, missing))
}

async fn describe_one(
    session: &Session,
    resource: &Resource,
    object: &Value,
    page: &mut Page,
) -> anyhow::Result<()> {
    let namespace = text(object, "/metadata/namespace");
    match resource.kind.as_str() {
        "Pod" => pod::pod(page, object),
        "Node" => {
            let path = session.resource("pods").await?.list(None);
            let field = query_escape(&format!("spec.nodeName={}", text(object, "/metadata/name")));
            node::node(page, object, &items(session, &format!("{path}?fieldSelector={field}")).await?);
        }
        "Deployment" => {
            let path = session.resource("replicasets.apps").await?.list(Some(namespace));
            let label = query_escape(&selector(object));
            let sets = items(session, &format!("{path}?labelSelector={label}")).await?;
            workload::deployment(page, object, &sets);
        }
        "ReplicaSet" => {
            let path = session.resource("pods").await?.list(Some(namespace));
            let label = query_escape(&selector(object));
            let pods = items(session, &format!("{path}?labelSelector={label}")).await?;
            workload::replica_set(page, object, &pods);
        }
        "Service" => {
            let slices = session.resource("endpointslices.discovery.k8s.io").await;
            let slices = match slices.map(|r| r.list(Some(namespace))) {
                Ok(path) => {
                    let name = text(object, "/metadata/name");
                    let label = query_escape(&format!("kubernetes.io/service-name={name}"));
                    items(session, &format!("{path}?labelSelector={label}")).await?
                }
                // A hub need not serve them.
                Err(_) => Vec::new(),
            };
            service::service(page, object, &slices);
        }
        kind => generic::generic(page, object, &resource.group_version, kind),
    }
    Ok(())
}

async fn items(session: &Session, path: &str) -> anyhow::Result<Vec<Value>> {
    let mut list = session.get_json(path).await?;
    Ok(match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    })
}

/// The events of this very object, not of a former one with its name.
async fn happened(session: &Session, object: &Value) -> anyhow::Result<Vec<Value>> {
    let namespace = Some(text(object, "/metadata/namespace")).filter(|n| !n.is_empty());
    let (name, uid) = (text(object, "/metadata/name"), text(object, "/metadata/uid"));
    let field = query_escape(&format!("involvedObject.name={name},involvedObject.uid={uid}"));
    let path = session.resource("events").await?.list(namespace);
    items(session, &format!("{path}?fieldSelector={field}")).await
}
