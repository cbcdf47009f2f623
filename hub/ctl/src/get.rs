//! `gannet get`: tables, YAML, JSON, names; once, or as things change.

use std::io::Write;

use clap::{Args, ValueEnum};
use futures::StreamExt as _;
use futures::io::AsyncBufReadExt as _;
use serde_json::{Value, json};

use crate::resource::{Resource, query_escape, targets, text};
use crate::session::{Session, TABLE};
use crate::table::{self, Style};

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// `TYPE`, `TYPE NAME…`, `TYPE/NAME…`, several types with commas, or `all`.
    #[arg(required = true, value_name = "TYPE[/NAME]")]
    what: Vec<String>,
    /// How to print.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    /// In every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels, as `app=web,tier!=db`.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only objects with these fields, as `spec.nodeName=gateway-1`.
    #[arg(long)]
    field_selector: Option<String>,
    /// Go on and print what changes.
    #[arg(short, long)]
    watch: bool,
    /// Without the line of names.
    #[arg(long)]
    no_headers: bool,
}

/// How objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Wide,
    Yaml,
    Json,
    Name,
}

impl GetArgs {
    /// A plain table of this.
    pub fn table(what: &str) -> Self {
        Self {
            what: vec![what.to_owned()],
            output: None,
            all_namespaces: false,
            selector: None,
            field_selector: None,
            watch: false,
            no_headers: false,
        }
    }
}

pub(crate) async fn get(
    session: &Session,
    args: &GetArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut wanted: Vec<(&Resource, Vec<String>)> = Vec::new();
    for (word, names) in targets(&args.what)? {
        if word == "all" {
            wanted.extend(session.kinds().await?.category("all").into_iter().map(|r| (r, Vec::new())));
        } else {
            wanted.push((session.resource(&word).await?, names));
        }
    }
    if args.watch {
        anyhow::ensure!(
            wanted.len() == 1 && wanted[0].1.len() <= 1,
            "you may only specify a single resource type to watch"
        );
        return watch(session, args, wanted[0].0, wanted[0].1.first(), out).await;
    }
    match args.output {
        None | Some(Output::Wide) => tables(session, args, &wanted, out).await,
        Some(output) => whole(session, args, &wanted, output, out).await,
    }
}

/// The paths to ask for: one a name, or one list.
fn paths(session: &Session, args: &GetArgs, resource: &Resource, names: &[String]) -> Vec<String> {
    let namespace = (!args.all_namespaces).then(|| session.namespace());
    if names.is_empty() {
        let list = resource.list(namespace);
        let query: Vec<String> = [("labelSelector", &args.selector), ("fieldSelector", &args.field_selector)]
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", query_escape(value.as_ref()?))))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        return vec![format!("{list}{mark}{}", query.join("&"))];
    }
    names.iter().map(|name| resource.one(session.namespace(), name)).collect()
}

async fn tables(
    session: &Session,
    args: &GetArgs,
    wanted: &[(&Resource, Vec<String>)],
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut printed = false;
    let mut missing = Vec::new();
    for (resource, names) in wanted {
        let mut lines: Vec<Vec<String>> = Vec::new();
        for path in paths(session, args, resource, names) {
            let found = match session.get_table(&path).await {
                Ok(table) => table,
                Err(error) => {
                    missing.push(format!("{error:#}"));
                    continue;
                }
            };
            if found["rows"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let shown = resource.shown("");
            let kind = (wanted.len() > 1).then(|| shown.trim_end_matches('/'));
            let namespaces = args.all_namespaces && resource.namespaced;
            let headless = args.no_headers || !lines.is_empty();
            let style = Style { wide: args.output == Some(Output::Wide), namespaces, headless };
            lines.extend(table::cells(&found, style, kind));
        }
        if !lines.is_empty() {
            if printed {
                writeln!(out)?;
            }
            table::print(&lines, &[], out)?;
            printed = true;
        }
    }
    anyhow::ensure!(missing.is_empty(), "{}", missing.join("\n"));
    if !printed {
        let within = wanted.iter().any(|(r, _)| r.namespaced) && !args.all_namespaces;
        let place = if within { format!(" in {} namespace", session.namespace()) } else { String::new() };
        writeln!(out, "No resources found{place}.")?;
    }
    Ok(())
}

async fn whole(
    session: &Session,
    args: &GetArgs,
    wanted: &[(&Resource, Vec<String>)],
    output: Output,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut objects = Vec::new();
    let mut single = true;
    for (resource, names) in wanted {
        single &= names.len() == 1 && wanted.len() == 1;
        for path in paths(session, args, resource, names) {
            let mut found = session.get_json(&path).await?;
            match found["items"].take() {
                Value::Array(items) => objects.extend(items.into_iter().map(|mut item| {
                    // Items of a list do not say what they are; a person wants to know.
                    item["apiVersion"] = json!(resource.group_version);
                    item["kind"] = json!(resource.kind);
                    (*resource, item)
                })),
                _ => {
                    if let Some(fields) = found.as_object_mut() {
                        fields.remove("items");
                    }
                    objects.push((*resource, found));
                }
            }
        }
    }
    if output == Output::Name {
        for (resource, object) in &objects {
            writeln!(out, "{}", resource.shown(text(object, "/metadata/name")))?;
        }
        return Ok(());
    }
    let mut objects: Vec<Value> = objects.into_iter().map(|(_, object)| object).collect();
    let document = match objects.pop() {
        Some(only) if single => only,
        last => {
            objects.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects})
        }
    };
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?,
        _ => write!(out, "{}", serde_saphyr::to_string(&document)?)?,
    }
    Ok(())
}

/// Prints the table, then a row for each change, until the hub or the person ends it.
async fn watch(
    session: &Session,
    args: &GetArgs,
    resource: &Resource,
    name: Option<&String>,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let namespace = (!args.all_namespaces).then(|| session.namespace());
    let field = name.map(|n| format!("metadata.name={n}")).or_else(|| args.field_selector.clone());
    let mut path = format!("{}?watch=true", resource.list(namespace));
    for (key, value) in [("labelSelector", &args.selector), ("fieldSelector", &field)] {
        if let Some(value) = value {
            path = format!("{path}&{key}={}", query_escape(value));
        }
    }
    let mut lines = session.stream(&path, TABLE).await?.lines();
    let mut style = Style {
        wide: args.output == Some(Output::Wide),
        namespaces: args.all_namespaces && resource.namespaced,
        headless: args.no_headers,
    };
    let mut widths = Vec::new();
    let mut columns = Value::Null;
    while let Some(line) = lines.next().await {
        let mut event: Value = serde_json::from_str(&line?)?;
        if event["type"] == "ERROR" {
            anyhow::bail!("{}", text(&event, "/object/message"));
        }
        if event["type"] == "BOOKMARK" {
            continue;
        }
        // Only the first table of a watch names its columns.
        match event["object"]["columnDefinitions"].as_array() {
            Some(named) if !named.is_empty() => columns = event["object"]["columnDefinitions"].clone(),
            _ => event["object"]["columnDefinitions"] = columns.clone(),
        }
        widths = table::print(&table::cells(&event["object"], style, None), &widths, out)?;
        out.flush()?;
        style.headless = true;
    }
    Ok(())
}
