//! Which nodes must be compiled anew after a change, so that a change costs what it touches and not the fleet.

use std::collections::BTreeSet;

use gannet_protocols_model::NodeName;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::network::neighbours;
use super::{node_of, owner};
use crate::{Kind, ObjectKey, World};

/// The nodes whose documents a change of one object may alter. `before` and `after` are the worlds around the change.
pub fn touched(before: &World, after: &World, kind: &Kind, key: &ObjectKey) -> BTreeSet<NodeName> {
    let mut nodes = BTreeSet::new();
    for world in [before, after] {
        match kind.kind {
            "Node" => nodes.extend(key.name.parse::<NodeName>()),
            "Pod" => nodes.extend(world.pods.get(key).and_then(|p| node_of(p)?.parse::<NodeName>().ok())),
            "Deployment" if deadline(before, key) != deadline(after, key) => {
                nodes
                    .extend(nodes_of_owned(world, key, |pod| owner::is_of_deployment(world, pod, &key.name)));
            }
            "ReplicaSet" if maker(before, key) != maker(after, key) => {
                nodes.extend(nodes_of_owned(world, key, |pod| owner::is_of_set(pod, &key.name)));
            }
            "ConfigMap" | "Secret" | "Service" | "Endpoints" => {
                nodes.extend(nodes_of_namespace(world, &key.namespace))
            }
            _ => return nodes,
        }
    }
    if matches!(kind.kind, "Node" | "Pod" | "Service" | "Endpoints") {
        let of_site = |world: &World, node: &NodeName| -> Vec<NodeName> {
            neighbours(world, node).into_keys().filter_map(|n| n.parse().ok()).collect()
        };
        let more: Vec<NodeName> =
            nodes.iter().flat_map(|n| [of_site(before, n), of_site(after, n)]).flatten().collect();
        nodes.extend(more);
    }
    nodes
}

/// What pods have of their Deployment: how long they may take.
fn deadline(world: &World, key: &ObjectKey) -> Option<Option<u32>> {
    world.deployments.get(key).map(|d| owner::of_deployment(d))
}

/// What pods have of their ReplicaSet: who made it.
fn maker<'a>(world: &'a World, key: &ObjectKey) -> Option<&'a OwnerReference> {
    owner::controller(&world.replica_sets.get(key)?.metadata)
}

fn nodes_of_owned(world: &World, key: &ObjectKey, is_owned: impl Fn(&Pod) -> bool) -> BTreeSet<NodeName> {
    let first = ObjectKey::new(&key.namespace, "");
    let pods = world.pods.range(first..).take_while(|(k, _)| k.namespace == key.namespace);
    let owned = pods.filter(|(_, pod)| node_of(pod).is_some() && is_owned(pod));
    owned.filter_map(|(_, pod)| node_of(pod)?.parse().ok()).collect()
}

fn nodes_of_namespace(world: &World, namespace: &str) -> BTreeSet<NodeName> {
    let first = ObjectKey::new(namespace, "");
    let pods = world.pods.range(first..).take_while(|(k, _)| k.namespace == namespace);
    pods.filter_map(|(_, pod)| node_of(pod)?.parse().ok()).collect()
}
