//! Keeps the pod network as the network document and the node's own pods say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use gannet_agent_core::{DesiredWorld, Observed};
use gannet_agent_net::{LocalPod, PodNetwork};
use gannet_protocols_model::{Manifest, Network, PodStatus, PodUid, Protocol};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::executor::chain;

/// Between two tries of what failed.
const AGAIN: Duration = Duration::from_secs(5);

/// Until it is looked again whether a port of the node has become free.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What the network should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    pub(crate) document: Option<Arc<Network>>,
    pub(crate) local: BTreeMap<PodUid, LocalPod>,
}

/// The node's own pods, as services need to know them. One in the node's own network is reached at the node's address.
pub(crate) fn local_pods(
    desired: &DesiredWorld,
    observed: &Observed,
    statuses: &BTreeMap<PodUid, PodStatus>,
    node: Ipv4Addr,
) -> BTreeMap<PodUid, LocalPod> {
    let mut local = BTreeMap::new();
    for (uid, status) in statuses {
        let wanted = desired.pods.get(uid);
        let manifest = wanted.and_then(|w| w.manifest.as_ref());
        let host_network = manifest.is_some_and(|m| m.host_network);
        let sandbox = observed.pods.get(uid).and_then(|p| p.sandbox.as_ref());
        let Some(ip) = sandbox.and_then(|s| if host_network { Some(node) } else { s.ip }) else { continue };
        // A pod that is being stopped gets no new connections.
        let stopping = wanted.is_none_or(|w| w.entry.stop_within_seconds.is_some());
        // Its programs listen at the node's ports themselves.
        let led = manifest.filter(|_| !host_network);
        let host_ports = led.into_iter().flat_map(|m| host_ports(m)).collect();
        local.insert(uid.clone(), LocalPod { ip, ready: status.is_ready() && !stopping, host_ports });
    }
    local
}

/// Ports of the node that lead to a pod: protocol, the node's port, the pod's.
pub(crate) fn host_ports(manifest: &Manifest) -> impl Iterator<Item = (Protocol, u16, u16)> {
    // Of init containers sidecars alone have ports that last; those of others are gone before anybody asks.
    let ports = manifest.all_containers().flat_map(|c| &c.ports);
    ports.filter_map(|p| Some((p.protocol, p.host_port?, p.port)))
}

/// Applies each wish, and what failed again and again.
pub(crate) async fn keep(
    network: Arc<PodNetwork>,
    mut wishes: watch::Receiver<Arc<Wish>>,
    stop: CancellationToken,
) {
    loop {
        let wish = wishes.borrow_and_update().clone();
        let applied = match &wish.document {
            Some(document) => network.apply(document, &wish.local).await,
            None => Ok(true),
        };
        let again = match &applied {
            Err(error) => {
                warn!(error = chain(error), "network is not as it should be");
                Some(AGAIN)
            }
            // Told once, where it was found.
            Ok(false) => Some(LOOK_AGAIN),
            Ok(true) => {
                debug!(pods = wish.local.len(), "network is as it should be");
                None
            }
        };
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(again.unwrap_or(AGAIN)), if again.is_some() => {}
            () = stop.cancelled() => return,
        }
    }
}
