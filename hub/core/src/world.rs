//! Every stored object that decisions depend on, decoded once. The shell keeps it up to date from the store's watch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;

use crate::Kind;

/// Namespace and name. The namespace is empty for objects of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object in a namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// All objects of a kind, in order of namespace and name.
pub type Objects<T> = BTreeMap<ObjectKey, Arc<T>>;

/// The decoded objects. Kinds that no decision reads (Event, Lease) are not kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// `Namespace`.
    pub namespaces: Objects<Namespace>,
    /// `Node`.
    pub nodes: Objects<Node>,
    /// `Pod`.
    pub pods: Objects<Pod>,
    /// `ConfigMap`.
    pub config_maps: Objects<ConfigMap>,
    /// `Secret`.
    pub secrets: Objects<Secret>,
    /// `Service`.
    pub services: Objects<Service>,
    /// `ServiceAccount`.
    pub service_accounts: Objects<ServiceAccount>,
    /// `Endpoints`.
    pub endpoints: Objects<Endpoints>,
    /// `EndpointSlice`.
    pub endpoint_slices: Objects<EndpointSlice>,
    /// `Deployment`.
    pub deployments: Objects<Deployment>,
    /// `ReplicaSet`.
    pub replica_sets: Objects<ReplicaSet>,
    /// Objects that are stored and do not decode, by resource and key: they exist, so that what they own is not garbage.
    pub unreadable: BTreeSet<(String, ObjectKey)>,
}

/// A stored object that does not decode. It is kept in the store and left out of the world.
#[derive(Debug, thiserror::Error)]
#[error("stored {kind} {key} does not decode")]
pub struct WorldError {
    kind: &'static str,
    key: ObjectKey,
    #[source]
    source: serde_json::Error,
}

impl World {
    /// Takes in one object as stored (with `metadata.resourceVersion` set by the reader), or its removal.
    pub fn apply(&mut self, kind: &Kind, key: &ObjectKey, object: Option<&[u8]>) -> Result<(), WorldError> {
        let resource = kind.resource();
        let result = match resource.as_str() {
            "namespaces" => put(&mut self.namespaces, kind, key, object),
            "nodes" => put(&mut self.nodes, kind, key, object),
            "pods" => put(&mut self.pods, kind, key, object),
            "configmaps" => put(&mut self.config_maps, kind, key, object),
            "secrets" => put(&mut self.secrets, kind, key, object),
            "services" => put(&mut self.services, kind, key, object),
            "serviceaccounts" => put(&mut self.service_accounts, kind, key, object),
            "endpoints" => put(&mut self.endpoints, kind, key, object),
            "endpointslices.discovery.k8s.io" => put(&mut self.endpoint_slices, kind, key, object),
            "deployments.apps" => put(&mut self.deployments, kind, key, object),
            "replicasets.apps" => put(&mut self.replica_sets, kind, key, object),
            _ => Ok(()),
        };
        if result.is_err() {
            self.unreadable.insert((resource, key.clone()));
        } else if !self.unreadable.is_empty() {
            self.unreadable.remove(&(resource, key.clone()));
        }
        result
    }
}

fn put<T: DeserializeOwned>(
    objects: &mut Objects<T>,
    kind: &Kind,
    key: &ObjectKey,
    object: Option<&[u8]>,
) -> Result<(), WorldError> {
    let Some(bytes) = object else {
        objects.remove(key);
        return Ok(());
    };
    let decoded = serde_json::from_slice(bytes).map_err(|source| {
        let kind = crate::KINDS.iter().find(|k| ***k == *kind).map_or("object", |k| k.kind);
        WorldError { kind, key: key.clone(), source }
    })?;
    objects.insert(key.clone(), Arc::new(decoded));
    Ok(())
}
