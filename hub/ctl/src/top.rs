//! `gannet top`: what nodes and pods use, in kubectl's columns and one for the disk.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, Subcommand};
use gannet_protocols_model::parse_quantity_nanos;
use serde_json::Value;

use crate::resource::{query_escape, text};
use crate::session::Session;
use crate::table;

const ROOT: &str = "/apis/metrics.k8s.io/v1beta1";
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// What to show the usage of.
#[derive(Debug, Subcommand)]
pub enum TopCommand {
    /// What nodes use.
    #[command(visible_aliases = ["node", "no"])]
    Nodes(NodesArgs),
    /// What pods use.
    #[command(visible_aliases = ["pod", "po"])]
    Pods(PodsArgs),
}

/// Arguments of `top nodes`.
#[derive(Debug, Args)]
pub struct NodesArgs {
    /// Only this node.
    name: Option<String>,
    /// Only nodes with these labels.
    #[arg(short = 'l', long)]
    selector: Option<String>,
}

/// Arguments of `top pods`.
#[derive(Debug, Args)]
pub struct PodsArgs {
    /// Only this pod.
    name: Option<String>,
    /// In every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only pods with these labels.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// A line for each container.
    #[arg(long)]
    containers: bool,
}

pub(crate) async fn top(
    session: &Session,
    command: &TopCommand,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let lines = match command {
        TopCommand::Nodes(args) => {
            let path = format!("{ROOT}/nodes");
            let found = figures(session, &path, args.name.as_deref(), args.selector.as_deref()).await?;
            let nodes = session.get_json("/api/v1/nodes").await?;
            nodes_table(&found, &nodes)
        }
        TopCommand::Pods(args) => {
            let path = if args.all_namespaces && args.name.is_none() {
                format!("{ROOT}/pods")
            } else {
                format!("{ROOT}/namespaces/{}/pods", session.namespace())
            };
            let found = figures(session, &path, args.name.as_deref(), args.selector.as_deref()).await?;
            pods_table(&found, args.all_namespaces, args.containers)
        }
    };
    if lines.len() == 1 {
        writeln!(out, "No resources found")?;
        return Ok(());
    }
    table::print(&lines, &[], out)?;
    Ok(())
}

async fn figures(
    session: &Session,
    path: &str,
    name: Option<&str>,
    selector: Option<&str>,
) -> anyhow::Result<Vec<Value>> {
    if let Some(name) = name {
        return Ok(vec![session.get_json(&format!("{path}/{name}")).await?]);
    }
    let query = selector.map(|s| format!("?labelSelector={}", query_escape(s))).unwrap_or_default();
    let list = session.get_json(&format!("{path}{query}")).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn nanos(amount: &Value) -> i128 {
    amount.as_str().and_then(|text| parse_quantity_nanos(text).ok()).unwrap_or(0)
}

/// Thousandths of a core, then mebibytes.
fn shown(amounts: [i128; 3]) -> [String; 3] {
    let [cpu, memory, disk] = amounts;
    let mebibytes = |nanos: i128| format!("{}Mi", nanos / 1_000_000_000 / (1 << 20));
    let millis = (cpu + 999_999) / 1_000_000;
    [format!("{millis}m"), mebibytes(memory), mebibytes(disk)]
}

fn line(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn nodes_table(found: &[Value], nodes: &Value) -> Vec<Vec<String>> {
    let nodes = nodes["items"].as_array().into_iter().flatten();
    let nodes: BTreeMap<&str, &Value> =
        nodes.map(|node| (text(node, "/metadata/name"), &node["status"]["allocatable"])).collect();
    let mut lines =
        vec![line(&["NAME", "CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%", "DISK(bytes)", "DISK%"])];
    for figures in found {
        let name = text(figures, "/metadata/name");
        let used = RESOURCES.map(|resource| nanos(&figures["usage"][resource]));
        let mut cells = vec![name.to_owned()];
        for ((resource, used), shown) in RESOURCES.iter().zip(used).zip(shown(used)) {
            let of = nodes.get(name).map(|allocatable| nanos(&allocatable[*resource])).filter(|of| *of > 0);
            let percent = of.map_or("<unknown>".to_owned(), |of| format!("{}%", used * 100 / of));
            cells.extend([shown, percent]);
        }
        lines.push(cells);
    }
    lines
}

fn pods_table(found: &[Value], namespaces: bool, containers: bool) -> Vec<Vec<String>> {
    let mut heads = vec!["CPU(cores)", "MEMORY(bytes)", "DISK(bytes)"];
    heads.splice(0..0, if containers { vec!["POD", "NAME"] } else { vec!["NAME"] });
    if namespaces {
        heads.insert(0, "NAMESPACE");
    }
    let mut lines = vec![line(&heads)];
    for figures in found {
        let all = figures["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut add = |container: Option<&str>, of: &[Value]| {
            let mut cells = Vec::new();
            if namespaces {
                cells.push(text(figures, "/metadata/namespace").to_owned());
            }
            cells.push(text(figures, "/metadata/name").to_owned());
            cells.extend(container.map(str::to_owned));
            let sum = |resource: &str| of.iter().map(|c| nanos(&c["usage"][resource])).sum();
            cells.extend(shown(RESOURCES.map(sum)));
            lines.push(cells);
        };
        if containers {
            all.iter()
                .for_each(|container| add(Some(text(container, "/name")), std::slice::from_ref(container)));
        } else {
            add(None, all);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(lines: Vec<Vec<String>>, expected: &str) {
        let lines: Vec<String> = lines.iter().map(|line| line.join(" ")).collect();
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn tables() {
        let usage =
            |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory, "ephemeral-storage": "2048Ki"});
        let nodes = json!({"items": [{"metadata": {"name": "g"}, "status": {"allocatable": {"cpu": "500m", "memory": "1Gi"}}}]});
        let node = |name: &str| json!({"metadata": {"name": name}, "usage": usage("250000001n", "262144Ki")});
        check(
            nodes_table(&[node("g"), node("h")], &nodes),
            "NAME CPU(cores) CPU% MEMORY(bytes) MEMORY% DISK(bytes) DISK%\n\
             g 251m 50% 256Mi 25% 2Mi <unknown>\n\
             h 251m <unknown> 256Mi <unknown> 2Mi <unknown>",
        );
        let pod = json!({"metadata": {"namespace": "default", "name": "p"}, "containers": [
            {"name": "a", "usage": usage("1000000n", "1024Ki")}, {"name": "b", "usage": usage("0n", "1024Ki")}]});
        let pods = [pod];
        check(pods_table(&pods, false, false), "NAME CPU(cores) MEMORY(bytes) DISK(bytes)\np 1m 2Mi 4Mi");
        check(
            pods_table(&pods, true, true),
            "NAMESPACE POD NAME CPU(cores) MEMORY(bytes) DISK(bytes)\ndefault p a 1m 1Mi 2Mi\ndefault p b 0m 1Mi 2Mi",
        );
    }
}
