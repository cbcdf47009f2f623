//! Nodes that answer at once, for tests.

use std::collections::BTreeSet;

use gannet_protocols_model::{ByteSize, ContainerUsage};

use super::*;

/// Nodes whose name begins with `silent` say nothing; each other one runs every pod with the uid `uid-NODE`.
pub(crate) struct Made;

impl NodeFigures for Made {
    fn figures(&self, nodes: BTreeSet<NodeName>) -> BoxFuture<'_, Answers> {
        let usage = Usage { cpu_nanos: 1_500_000, memory: ByteSize(64 << 20), disk: ByteSize(4096), pids: 1 };
        let answer = move |node: &NodeName| {
            if node.as_str().starts_with("silent") {
                return Err(format!("node {node} is not connected"));
            }
            let container = |name: &str| ContainerUsage { name: name.to_owned(), usage };
            let pod = PodUsage {
                uid: format!("uid-{node}").parse().unwrap(),
                namespace: "default".to_owned(),
                name: "p".to_owned(),
                containers: vec![container("a"), container("b")],
                volumes: ByteSize(0),
            };
            let at = Timestamp::from_millis(1_769_860_799_000);
            Ok(Arc::new(NodeUsage { at, window_ms: 15_030, node: usage, agent: usage, pods: vec![pod] }))
        };
        let answers = nodes.into_iter().map(|node| (node.clone(), answer(&node))).collect();
        Box::pin(std::future::ready(answers))
    }
}
