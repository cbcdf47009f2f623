//! Keeps the pod network as the network document and the node's own pods say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gannet_agent_core::{DesiredWorld, Observed};
use gannet_agent_net::{LocalPod, PodNetwork};
use gannet_protocols_model::{Network, PodStatus, PodUid};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::executor::chain;

/// Between two tries of what failed.
const AGAIN: Duration = Duration::from_secs(5);

/// What the network should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    pub(crate) document: Option<Arc<Network>>,
    pub(crate) local: BTreeMap<PodUid, LocalPod>,
}

/// The node's own pods, as services need to know them.
pub(crate) fn local_pods(
    desired: &DesiredWorld,
    observed: &Observed,
    statuses: &BTreeMap<PodUid, PodStatus>,
) -> BTreeMap<PodUid, LocalPod> {
    let mut local = BTreeMap::new();
    for (uid, status) in statuses {
        let wanted = desired.pods.get(uid);
        let manifest = wanted.and_then(|w| w.manifest.as_ref());
        let host_network = manifest.is_some_and(|m| m.host_network);
        let address = observed.pods.get(uid).and_then(|p| p.sandbox.as_ref()).and_then(|s| s.ip);
        let Some(ip) = address.filter(|_| !host_network) else { continue };
        // A pod that is being stopped gets no new connections.
        let stopping = wanted.is_none_or(|w| w.entry.stop_within_seconds.is_some());
        let ports = manifest.iter().flat_map(|m| &m.containers).flat_map(|c| &c.ports);
        let host_ports = ports.filter_map(|p| Some((p.protocol, p.host_port?, p.port))).collect();
        local.insert(uid.clone(), LocalPod { ip, ready: status.is_ready() && !stopping, host_ports });
    }
    local
}

/// Applies each wish, and what failed again and again.
pub(crate) async fn keep(
    network: Arc<PodNetwork>,
    mut wishes: watch::Receiver<Arc<Wish>>,
    stop: CancellationToken,
) {
    loop {
        let wish = wishes.borrow_and_update().clone();
        let failed = match &wish.document {
            Some(document) => network.apply(document, &wish.local).await.err(),
            None => None,
        };
        match &failed {
            Some(error) => warn!(error = chain(error), "network is not as it should be"),
            None => debug!(pods = wish.local.len(), "network is as it should be"),
        }
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN), if failed.is_some() => {}
            () = stop.cancelled() => return,
        }
    }
}
