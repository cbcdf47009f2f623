//! The services that a node offers and the ways to other nodes: one blob, beside the pods.
//!
//! Pods of this node stand in it by uid alone: the node knows their addresses and readiness first-hand, also offline.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::{Digest, NodeName, PodUid, Protocol};

/// A node's network document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The node's pods get addresses from here, as `10.42.0.0/24`.
    pub pod_cidr: String,
    /// Services have addresses in here, as `10.43.0.0/16`.
    pub service_cidr: String,
    /// The DNS domain: `cluster.local`.
    pub domain: String,
    /// The services, by namespace and name.
    pub services: Vec<Service>,
    /// Nodes of the same site, whose pods are reached through their addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<NodeRoute>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub kind: ServiceKind,
    /// Its address; `None` for a headless service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_ip: Option<Ipv4Addr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Who answers.
    pub backends: Vec<Backend>,
    /// `sessionAffinity: ClientIP` and its seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity_seconds: Option<u32>,
}

/// `spec.type` of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceKind {
    /// Inside only.
    ClusterIP,
    /// Also at a port of every node.
    NodePort,
    /// Also at the service's own port of every node.
    LoadBalancer,
}

/// One port of a service. The port in the pod may differ from pod to pod, so it stands with the backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePort {
    /// Its name; empty where there is one port alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port at the service's address.
    pub port: u16,
    /// The port at the node's address, for NodePort and LoadBalancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
}

/// A pod behind a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// The pod.
    pub pod: PodUid,
    /// Its address where it runs on another node; `None` for pods of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Ipv4Addr>,
    /// The target port of each of the service's ports, in their order; 0 where this pod has none of that name.
    pub ports: Vec<u16>,
    /// The pod's host name and its subdomain's, for the names of headless services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// The way to another node's pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRoute {
    /// The node.
    pub node: NodeName,
    /// Its address, on the same link as this node.
    pub address: Ipv4Addr,
    /// Its pods' addresses.
    pub pod_cidr: String,
}

impl Network {
    /// Reads a document whose digest was already checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The document's bytes; its name is their digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        // No map with keys other than strings, no fallible value: always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What the document is named by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The pods of this node that stand behind a service.
    pub fn local_pods(&self) -> BTreeSet<&PodUid> {
        self.services
            .iter()
            .flat_map(|s| &s.backends)
            .filter(|b| b.remote.is_none())
            .map(|b| &b.pod)
            .collect()
    }
}
