//! What every node should have, as compiled last: the gateway answers nodes from it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use gannet_hub_core::compile::NodeDocuments;
use gannet_hub_gateway::DesiredSource;
use gannet_protocols_model::{Digest, NodeName};

/// The documents of all nodes. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Documents(Arc<RwLock<BTreeMap<NodeName, Arc<NodeDocuments>>>>);

impl Documents {
    /// Replaces a node's documents.
    pub(crate) fn put(&self, node: &NodeName, documents: Arc<NodeDocuments>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), documents);
    }

    /// The node is no more.
    pub(crate) fn remove(&self, node: &NodeName) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

impl DesiredSource for Documents {
    fn blob(&self, node: &NodeName, digest: &Digest) -> Option<Arc<[u8]>> {
        // Only what this node's own documents name: nobody reads another node's Secrets.
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(node)?.blobs.get(digest).cloned()
    }
}
