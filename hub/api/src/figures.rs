//! `metrics.k8s.io`: what nodes and pods use, asked of the nodes when somebody wants to know. Nothing is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use gannet_hub_core::{Kind, ObjectKey};
use gannet_hub_objects::{Objects, Status, meta};
use gannet_protocols_model::{NodeName, NodeUsage, PodUsage, Timestamp, Usage};
use serde_json::{Value, json};

use crate::query::Query;
use crate::read::{self, Wanted};
use crate::route::Served;
use crate::view::ListMeta;

/// How many silent nodes an error names.
const NAMED: usize = 3;

/// What nodes answered: their figures, or why there are none.
pub type Answers = BTreeMap<NodeName, Result<Arc<NodeUsage>, String>>;

/// Where figures come from: the nodes, through the device plane.
pub trait NodeFigures: Send + Sync + 'static {
    /// What these nodes and their pods use, of each one. Figures may be some seconds old.
    fn figures(&self, nodes: BTreeSet<NodeName>) -> BoxFuture<'_, Answers>;
}

/// Lists the figures of the wanted nodes or pods. Those of nodes that do not answer are left out, as Kubernetes does it;
/// where no node answers at all, that is an error.
pub(crate) async fn list(
    objects: &Objects,
    figures: &dyn NodeFigures,
    served: Served,
    namespace: Option<&str>,
    query: &Query,
) -> Result<(ListMeta, Vec<Value>), Status> {
    let wanted = Wanted::parse(subject(served.kind), namespace, query)?;
    let (_, found) = read::list(objects, &wanted, &Query::parse(""))?;
    let nodes: BTreeSet<NodeName> = found.iter().filter_map(|o| node_of(served.kind, o)).collect();
    let answers = figures.figures(nodes).await;
    if !answers.is_empty() && answers.values().all(Result::is_err) {
        return Err(nobody_answered(&answers));
    }
    let now = objects.now();
    let items = found.iter().filter_map(|object| {
        let usage = answers.get(&node_of(served.kind, object)?)?.as_ref().ok()?;
        made(served.kind, object, usage, now)
    });
    Ok((ListMeta { revision: objects.storage().revision(), ..ListMeta::default() }, items.collect()))
}

/// The figures of one node or pod.
pub(crate) async fn get(
    objects: &Objects,
    figures: &dyn NodeFigures,
    served: Served,
    key: &ObjectKey,
) -> Result<Value, Status> {
    let missing = || {
        let (kind, name) = (served.kind.kind.to_lowercase(), key.to_string());
        let name = name.trim_start_matches('/');
        Status::new(404, "NotFound", format!("{kind}.{} {name:?} not found", served.kind.group))
    };
    let object = objects.get(subject(served.kind), key).map_err(|status| match status.code {
        404 => missing(),
        _ => status,
    })?;
    let node = node_of(served.kind, &object).ok_or_else(missing)?;
    let answers = figures.figures(BTreeSet::from([node.clone()])).await;
    match answers.get(&node) {
        Some(Ok(usage)) => made(served.kind, &object, usage, objects.now()).ok_or_else(missing),
        _ => Err(nobody_answered(&answers)),
    }
}

/// The stored kind that figures are about.
fn subject(kind: &Kind) -> &'static Kind {
    if kind == Kind::NODE_METRICS { Kind::NODE } else { Kind::POD }
}

/// The node that has the figures of this object. None where a pod is not bound, or has ended.
fn node_of(kind: &Kind, object: &Value) -> Option<NodeName> {
    if kind == Kind::NODE_METRICS {
        return meta::field(object, "name").parse().ok();
    }
    let ended = matches!(meta::text(object, &["status", "phase"]), "Succeeded" | "Failed");
    if ended { None } else { meta::text(object, &["spec", "nodeName"]).parse().ok() }
}

/// NodeMetrics or PodMetrics. None for a pod of which the node says nothing: it does not run there yet.
fn made(kind: &Kind, object: &Value, usage: &NodeUsage, now: Timestamp) -> Option<Value> {
    let mut metadata = json!({"name": meta::field(object, "name"), "creationTimestamp": now.to_string()});
    let labels = meta::at(object, &["metadata", "labels"]);
    if labels.is_object() {
        metadata["labels"] = labels.clone();
    }
    let mut figures = json!({
        "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata,
        "timestamp": usage.at.to_string(), "window": duration(usage.window_ms),
    });
    if kind == Kind::NODE_METRICS {
        figures["usage"] = amounts(&usage.node);
        return Some(figures);
    }
    let uid = meta::field(object, "uid");
    let pod: &PodUsage = usage.pods.iter().find(|pod| pod.uid.as_str() == uid)?;
    figures["metadata"]["namespace"] = Value::from(meta::field(object, "namespace"));
    let containers = pod.containers.iter().map(|c| json!({"name": c.name, "usage": amounts(&c.usage)}));
    figures["containers"] = containers.collect();
    Some(figures)
}

/// In the units of metrics-server.
fn amounts(usage: &Usage) -> Value {
    let kibibytes = |bytes: u64| format!("{}Ki", bytes / 1024);
    json!({
        "cpu": format!("{}n", usage.cpu_nanos), "memory": kibibytes(usage.memory.0),
        "ephemeral-storage": kibibytes(usage.disk.0),
    })
}

/// A duration as Go writes it: `500ms`, `15.03s`, `1m5s`.
fn duration(ms: u64) -> String {
    if ms < 1000 {
        return if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") };
    }
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let fraction = format!("{:03}", ms % 1000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let seconds = format!("{}{point}{fraction}s", ms / 1000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

fn nobody_answered(answers: &Answers) -> Status {
    let mut reasons: Vec<&str> =
        answers.values().filter_map(|a| a.as_ref().err()).map(String::as_str).collect();
    let rest = reasons.len().saturating_sub(NAMED);
    reasons.truncate(NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let text = format!("no figures: none of the nodes asked has answered: {}{more}", reasons.join("; "));
    Status::new(503, "ServiceUnavailable", text)
}

#[cfg(test)]
#[path = "figures_made_up.rs"]
pub(crate) mod made_up;
#[cfg(test)]
#[path = "figures_test.rs"]
mod tests;
