//! Sends signed documents to the gateway, the newest of each node, from a task of its own: the brain must never wait for
//! the gateway, which may itself be waiting for the brain to take a fact.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gannet_hub_gateway::Gateway;
use gannet_protocols_model::{Generation, NodeName};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What is to be told about a node.
#[derive(Debug, Clone)]
pub(crate) enum Word {
    Desired(Generation, Arc<[u8]>),
    Forget,
}

/// Documents that wait to be sent; at most one a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Publisher {
    waiting: Arc<Mutex<BTreeMap<NodeName, Word>>>,
    bell: Arc<Notify>,
}

impl Publisher {
    /// Replaces what waits for the node.
    pub(crate) fn put(&self, node: &NodeName, word: Word) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), word);
        self.bell.notify_one();
    }

    /// Sends until told to stop.
    pub(crate) async fn run(self, gateway: Gateway, stop: CancellationToken) {
        loop {
            tokio::select! { () = self.bell.notified() => (), () = stop.cancelled() => return }
            loop {
                let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
                let Some((node, word)) = next else { break };
                let told = match word {
                    Word::Desired(generation, envelope) => {
                        gateway.publish_desired(&node, generation, envelope).await
                    }
                    Word::Forget => gateway.forget(&node).await,
                };
                if told.is_err() {
                    return;
                }
            }
        }
    }
}
