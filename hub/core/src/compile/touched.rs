//! Which nodes must be compiled anew after a change, so that a change costs what it touches and not the fleet.

use std::collections::BTreeSet;

use gannet_protocols_model::NodeName;

use super::network::neighbours;
use super::node_of;
use crate::{Kind, ObjectKey, World};

/// The nodes whose documents a change of one object may alter. `before` and `after` are the worlds around the change.
pub fn touched(before: &World, after: &World, kind: &Kind, key: &ObjectKey) -> BTreeSet<NodeName> {
    let mut nodes = BTreeSet::new();
    for world in [before, after] {
        match kind.kind {
            "Node" => nodes.extend(key.name.parse::<NodeName>()),
            "Pod" => nodes.extend(world.pods.get(key).and_then(|p| node_of(p)?.parse::<NodeName>().ok())),
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

fn nodes_of_namespace(world: &World, namespace: &str) -> BTreeSet<NodeName> {
    let first = ObjectKey::new(namespace, "");
    let pods = world.pods.range(first..).take_while(|(k, _)| k.namespace == namespace);
    pods.filter_map(|(_, pod)| node_of(pod)?.parse().ok()).collect()
}
