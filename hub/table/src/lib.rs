//! What `kubectl get` prints: the columns of each kind and the cells of each object, computed by the server.
//!
//! In: a kind, a stored object, the time. Out: the same columns and cells as Kubernetes' own printers, so that an
//! unmodified kubectl shows familiar output. Nothing here fails: an odd object gets odd cells.

#![forbid(unsafe_code)]

mod cluster;
mod column;
mod config;
mod duration;
mod field;
mod metrics;
mod network;
mod pod;
mod workload;

pub use column::Column;
pub use duration::human_duration;

use gannet_hub_core::Kind;
use gannet_protocols_model::Timestamp;
use serde_json::Value;

/// The columns of a kind. A kind without a printer of its own has a name and an age.
pub fn columns(kind: &Kind) -> &'static [Column] {
    match kind.kind {
        "Pod" => pod::COLUMNS,
        "Deployment" => workload::DEPLOYMENT,
        "ReplicaSet" => workload::REPLICA_SET,
        "Service" => network::SERVICE,
        "Endpoints" => network::ENDPOINTS,
        "EndpointSlice" => network::ENDPOINT_SLICE,
        "Node" => cluster::NODE,
        "Namespace" => cluster::NAMESPACE,
        "Event" => cluster::EVENT,
        "Lease" => cluster::LEASE,
        "ConfigMap" => config::CONFIG_MAP,
        "Secret" => config::SECRET,
        "ServiceAccount" => config::SERVICE_ACCOUNT,
        "NodeMetrics" | "PodMetrics" => metrics::METRICS,
        _ => config::OTHER,
    }
}

/// The cells of an object, one a column.
pub fn cells(kind: &Kind, object: &Value, now: Timestamp) -> Vec<Value> {
    match kind.kind {
        "Pod" => pod::cells(object, now),
        "Deployment" => workload::deployment(object, now),
        "ReplicaSet" => workload::replica_set(object, now),
        "Service" => network::service(object, now),
        "Endpoints" => network::endpoints(object, now),
        "EndpointSlice" => network::endpoint_slice(object, now),
        "Node" => cluster::node(object, now),
        "Namespace" => cluster::namespace(object, now),
        "Event" => cluster::event(object, now),
        "Lease" => cluster::lease(object, now),
        "ConfigMap" => config::config_map(object, now),
        "Secret" => config::secret(object, now),
        "ServiceAccount" => config::service_account(object, now),
        "NodeMetrics" => metrics::node(object),
        "PodMetrics" => metrics::pod(object),
        _ => config::other(object, now),
    }
}

#[cfg(test)]
#[path = "table_test.rs"]
mod tests;
