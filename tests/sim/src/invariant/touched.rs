//! What a change does not touch need not be compiled anew: a document that is thought current is current.

use std::collections::BTreeSet;

use gannet_hub_core::World;
use gannet_hub_core::compile::{ClusterNetwork, compile};
use gannet_protocols_model::NodeName;

use crate::store::Store;

/// Compiles what was left out.
pub fn check(
    world: &World,
    cluster: &ClusterNetwork,
    touched: &BTreeSet<NodeName>,
    store: &Store,
) -> Result<(), String> {
    for (node, recorded) in store.recorded.iter().filter(|(node, _)| !touched.contains(*node)) {
        if compile(world, cluster, node).content(node) != recorded.content {
            return Err(format!("the document of {node} changed, and nobody said so"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Recorded;
    use gannet_protocols_model::{Digest, Generation};

    #[test]
    fn a_change_that_nobody_told_is_found() {
        let (world, cluster) = (World::default(), ClusterNetwork::default());
        let node: NodeName = "n1".parse().unwrap();
        let mut store = Store::default();
        let content = compile(&world, &cluster, &node).content(&node);
        store.recorded.insert(node.clone(), Recorded { generation: Generation(1), content });
        assert_eq!(check(&world, &cluster, &BTreeSet::new(), &store), Ok(()));
        let content = Digest::of(b"something else");
        store.recorded.insert(node.clone(), Recorded { generation: Generation(1), content });
        assert!(check(&world, &cluster, &BTreeSet::new(), &store).is_err());
        assert_eq!(check(&world, &cluster, &BTreeSet::from([node]), &store), Ok(()));
    }
}
