//! Once nothing breaks any more, everybody agrees and what was wanted is there: on the hub, in the documents, in what
//! the agents say, and on the machines.

use std::collections::{BTreeMap, BTreeSet};

use gannet_hub_core::{Kind, ObjectKey};
use gannet_protocols_model::{Digest, NodeName};
use serde_json::Value;

use crate::hub::Hub;
use crate::node::Node;
use crate::operator::{Operator, Wanted};
use crate::store::Store;

/// Compares everything; the first difference is the error.
pub fn check(hub: Option<&Hub>, store: &Store, nodes: &[Node], operator: &Operator) -> Result<(), String> {
    let hub = hub.ok_or("the hub is gone")?;
    for node in nodes {
        link(hub, store, node)?;
        machine(store, node)?;
    }
    for (key, object) in store.list(Kind::DEPLOYMENT) {
        let wanted = operator.wanted.get(&key.name).ok_or_else(|| format!("deployment {key} was deleted"))?;
        deployment(key, object, wanted)?;
        pods_of(store, &key.name, wanted)?;
        endpoints(store, &key.name)?;
    }
    if store.list(Kind::DEPLOYMENT).count() != operator.wanted.len() {
        return Err("a deployment is missing".to_owned());
    }
    let wanted: u64 = operator.wanted.values().map(|w| w.replicas).sum();
    same("pods", &wanted, &(store.list(Kind::POD).count() as u64))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &T, found: &T) -> Result<(), String> {
    if wanted == found { Ok(()) } else { Err(format!("{what}: {wanted:?} is wanted, found {found:?}")) }
}

/// Hub and agent have the same document, and the same idea of the pods.
fn link(hub: &Hub, store: &Store, node: &Node) -> Result<(), String> {
    let name = &node.name;
    let agent = node.agent.as_ref().ok_or_else(|| format!("{name} has no agent"))?;
    if !hub.sessions.is_connected(name) || !agent.session.is_up() {
        return Err(format!("{name} is not connected"));
    }
    let recorded = store.recorded.get(name).ok_or_else(|| format!("{name} has no document"))?;
    same(&format!("generation of {name}"), &recorded.generation, &agent.session.generation())?;
    same(&format!("pods of {name} at the hub"), &Some(&agent.statuses), &hub.sessions.pods(name))?;
    let object = store.get(Kind::NODE, &ObjectKey::new("", name.as_str())).cloned().unwrap_or_default();
    same(&format!("{name} is ready"), &Some("True"), &condition(&object, "Ready"))
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let list = object["status"]["conditions"].as_array()?;
    list.iter().find(|c| c["type"] == kind)?["status"].as_str()
}

fn deployment(key: &ObjectKey, object: &Value, wanted: &Wanted) -> Result<(), String> {
    let status = &object["status"];
    let (seen, generation) = (&status["observedGeneration"], &object["metadata"]["generation"]);
    same(&format!("observed generation of {key}"), generation, seen)?;
    for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        same(&format!("{field} of {key}"), &wanted.replicas, &status[field].as_u64().unwrap_or(0))?;
    }
    same(&format!("{key} is available"), &Some("True"), &condition(object, "Available"))
}

fn family<'a>(store: &'a Store, app: &'a str) -> impl Iterator<Item = (&'a ObjectKey, &'a Value)> {
    store.list(Kind::POD).filter(move |(_, pod)| pod["metadata"]["labels"]["app"] == app)
}

fn pods_of(store: &Store, app: &str, wanted: &Wanted) -> Result<(), String> {
    for (key, pod) in family(store, app) {
        same(
            &format!("image of {key}"),
            &Some(wanted.image.as_str()),
            &pod["spec"]["containers"][0]["image"].as_str(),
        )?;
        same(&format!("{key} is being deleted"), &Value::Null, &pod["metadata"]["deletionTimestamp"])?;
        same(&format!("{key} is ready"), &Some("True"), &condition(pod, "Ready"))?;
    }
    Ok(())
}

fn endpoints(store: &Store, app: &str) -> Result<(), String> {
    let ips: BTreeSet<&str> =
        family(store, app).filter_map(|(_, pod)| pod["status"]["podIP"].as_str()).collect();
    let object = store.get(Kind::ENDPOINTS, &ObjectKey::new("default", app)).cloned().unwrap_or_default();
    let subsets = object["subsets"].as_array().cloned().unwrap_or_default();
    let addresses = subsets.iter().flat_map(|s| s["addresses"].as_array().cloned().unwrap_or_default());
    let found: Vec<String> = addresses.filter_map(|a| a["ip"].as_str().map(str::to_owned)).collect();
    same(&format!("endpoints of {app}"), &ips, &found.iter().map(String::as_str).collect())
}

/// What truly runs is what the hub says that runs, and nothing else is left.
fn machine(store: &Store, node: &Node) -> Result<(), String> {
    let on_node = |pod: &Value, name: &NodeName| pod["spec"]["nodeName"] == name.as_str();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted: BTreeMap<String, (String, Digest)> = store
        .list(Kind::POD)
        .filter(|(_, pod)| on_node(pod, &node.name))
        .flat_map(|(_, pod)| {
            let of = |specs: &str, statuses: &str| {
                let status = &pod["status"][statuses][0];
                let image = text(pod["spec"][specs].get(0)?.get("image")?);
                let id = text(&status["containerID"]);
                Some((id, (text(&pod["status"]["podIP"]), Digest::of(image.as_bytes()))))
            };
            // Every init container here is a sidecar.
            [of("initContainers", "initContainerStatuses"), of("containers", "containerStatuses")]
        })
        .flatten()
        .collect();
    let ip = |uid: &gannet_protocols_model::PodUid| node.machine.pods.get(uid).map(|s| s.ip.to_string());
    let found: BTreeMap<String, (String, Digest)> = node
        .machine
        .running()
        .map(|(uid, id, run)| (format!("youki://{uid}/{id}"), (ip(uid).unwrap_or_default(), run.image)))
        .collect();
    same(&format!("containers of {}", node.name), &wanted, &found)?;
    let pods: BTreeSet<_> = node.machine.running().map(|(uid, ..)| uid).collect();
    same(&format!("sandboxes of {}", node.name), &pods.len(), &node.machine.pods.len())
}
