//! The figures of `kubectl top` come from nodes, through the gateway, when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use gannet_hub_api::{Answers, NodeFigures};
use gannet_hub_gateway::Gateway;
use gannet_protocols_model::{NodeName, NodeUsage};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, info};

/// Nodes asked at a time: a fleet of thousands takes some seconds, and never fills the way to the broker.
const MAX_ASKED: usize = 128;
/// How old figures may be. People repeat `kubectl top`, and dashboards ask together.
const FRESH: Duration = Duration::from_secs(10);

/// What a node said last. Locked while it is asked, so that it is asked once, whoever wants to know.
type Slot = Arc<Mutex<Option<(Instant, Arc<NodeUsage>)>>>;

/// Who can be asked.
pub(crate) trait Ask: Send + Sync + 'static {
    /// What a node and its pods use now, or why that is not known.
    fn ask<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<NodeUsage, String>>;
}

impl Ask for Gateway {
    fn ask<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<NodeUsage, String>> {
        self.usage(node).map(|answer| answer.map_err(|error| error.to_string())).boxed()
    }
}

/// Asks nodes, and remembers for some seconds what they said.
pub(crate) struct FreshFigures<A> {
    nodes: A,
    slots: std::sync::Mutex<BTreeMap<NodeName, Slot>>,
}

impl<A: Ask> FreshFigures<A> {
    pub(crate) fn new(nodes: A) -> Self {
        Self { nodes, slots: std::sync::Mutex::default() }
    }

    fn slot(&self, node: &NodeName) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(node.clone()).or_default().clone()
    }

    /// Lets go of what is not fresh any more and nobody waits for.
    fn sweep(&self) {
        let in_use = |slot: &Slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|said| is_fresh(said.as_ref()))
        };
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, slot| in_use(slot));
    }

    async fn ask(&self, node: NodeName) -> (NodeName, Result<Arc<NodeUsage>, String>) {
        let slot = self.slot(&node);
        let mut said = slot.lock().await;
        if let Some((_, usage)) = said.as_ref().filter(|said| is_fresh(Some(said))) {
            return (node, Ok(usage.clone()));
        }
        let answer = match self.nodes.ask(&node).await {
            Ok(usage) => {
                let usage = Arc::new(usage);
                *said = Some((Instant::now(), usage.clone()));
                Ok(usage)
            }
            Err(error) => {
                debug!(node.name = %node, error, "no figures");
                Err(error)
            }
        };
        (node, answer)
    }
}

fn is_fresh(said: Option<&(Instant, Arc<NodeUsage>)>) -> bool {
    said.is_some_and(|(at, _)| at.elapsed() < FRESH)
}

impl<A: Ask> NodeFigures for FreshFigures<A> {
    fn figures(&self, nodes: BTreeSet<NodeName>) -> BoxFuture<'_, Answers> {
        async move {
            let asked = futures::stream::iter(nodes).map(|node| self.ask(node)).buffer_unordered(MAX_ASKED);
            let answers: Answers = asked.collect().await;
            self.sweep();
            let silent: Vec<_> =
                answers.iter().filter_map(|(node, a)| Some((node, a.as_ref().err()?))).collect();
            if let Some((node, error)) = silent.first() {
                info!(
                    nodes.asked = answers.len(), nodes.silent = silent.len(), node.name = %node, error,
                    "nodes are left out of the figures"
                );
            }
            answers
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use gannet_protocols_model::{Timestamp, Usage};

    use super::*;

    /// Nodes that count how often they are asked. Those whose name begins with `silent` do not answer.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Ask for Counting {
        fn ask<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<NodeUsage, String>> {
            async move {
                self.0.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                if node.as_str().starts_with("silent") {
                    return Err(format!("node {node} is not connected"));
                }
                let (at, usage) = (Timestamp::default(), Usage::default());
                Ok(NodeUsage { at, window_ms: 1, node: usage, agent: usage, pods: Vec::new() })
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn a_node_is_asked_once_whoever_wants_to_know() {
        let figures = FreshFigures::new(Counting::default());
        let asked = || figures.nodes.0.load(Ordering::SeqCst);
        let nodes =
            |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<NodeName>>();
        let (one, other) =
            futures::join!(figures.figures(nodes(&["a", "b"])), figures.figures(nodes(&["b", "c"])));
        assert!(one.values().chain(other.values()).all(Result::is_ok));
        assert_eq!(asked(), 3, "two ask for b together");
        figures.figures(nodes(&["a", "b", "c"])).await;
        assert_eq!(asked(), 3, "what was said is fresh");
        for expected in [4, 5] {
            let answers = figures.figures(nodes(&["a", "silent-1"])).await;
            let silent = &answers[&"silent-1".parse().unwrap()];
            assert_eq!(silent.as_ref().unwrap_err(), "node silent-1 is not connected");
            assert_eq!(asked(), expected, "who did not answer is asked again");
        }
        let kept: Vec<String> = figures.slots.lock().unwrap().keys().map(ToString::to_string).collect();
        assert_eq!(kept, ["a", "b", "c"], "nothing is kept of who did not answer");
    }
}
