//! How lists and structs are merged by patches: what Kubernetes writes as `patchStrategy`, `listType` and `mapType` tags
//! on its Go types, which the generated Rust types do not carry.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// How a field is merged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    /// `x-kubernetes-patch-strategy`.
    pub(crate) strategy: &'static str,
    /// `x-kubernetes-patch-merge-key`.
    pub(crate) key: Option<&'static str>,
    /// `x-kubernetes-list-map-keys` of a list of type `map`.
    pub(crate) map_keys: &'static [&'static str],
    /// A list of type `set`.
    pub(crate) set: bool,
    /// A map or struct that is replaced as a whole.
    pub(crate) atomic: bool,
}

/// Nothing said: lists are replaced, maps and structs are merged.
pub(crate) const PLAIN: &Merge = &Merge { strategy: "", key: None, map_keys: &[], set: false, atomic: false };

const ATOMIC: &Merge = &Merge { atomic: true, ..*PLAIN };
const RETAIN_KEYS: &Merge = &Merge { strategy: "retainKeys", ..*PLAIN };
const SET: &Merge = &Merge { strategy: "merge", set: true, ..*PLAIN };

macro_rules! by {
    ($name:ident, $strategy:literal, $key:literal, $($map_key:literal),*) => {
        const $name: &Merge = &Merge { strategy: $strategy, key: Some($key), map_keys: &[$($map_key),*], ..*PLAIN };
    };
}

by!(BY_NAME, "merge", "name", "name");
by!(BY_NAME_RETAINED, "merge,retainKeys", "name", "name");
by!(BY_TYPE, "merge", "type", "type");
by!(BY_IP, "merge", "ip", "ip");
by!(BY_UID, "merge", "uid", "uid");
by!(BY_MOUNT_PATH, "merge", "mountPath", "mountPath");
by!(BY_DEVICE_PATH, "merge", "devicePath", "devicePath");
by!(BY_CONTAINER_PORT, "merge", "containerPort", "containerPort", "protocol");
by!(BY_PORT, "merge", "port", "port", "protocol");
by!(BY_TOPOLOGY_KEY, "merge", "topologyKey", "topologyKey", "whenUnsatisfiable");
/// Merged by IP by strategic patches, replaced by server-side apply.
const BY_IP_ATOMIC: &Merge = &Merge { strategy: "merge", key: Some("ip"), ..*PLAIN };
/// Merged by name by server-side apply, replaced by strategic patches.
const RESOURCE_CLAIMS: &Merge = &Merge { map_keys: &["name"], ..*PLAIN };

/// Type, field, how it is merged. Types by the last part of their names.
const FIELDS: &[(&str, &str, &Merge)] = &[
    ("Container", "env", BY_NAME),
    ("Container", "ports", BY_CONTAINER_PORT),
    ("Container", "volumeDevices", BY_DEVICE_PATH),
    ("Container", "volumeMounts", BY_MOUNT_PATH),
    ("DeploymentSpec", "strategy", RETAIN_KEYS),
    ("DeploymentStatus", "conditions", BY_TYPE),
    ("EphemeralContainer", "env", BY_NAME),
    ("EphemeralContainer", "ports", BY_CONTAINER_PORT),
    ("EphemeralContainer", "volumeDevices", BY_DEVICE_PATH),
    ("EphemeralContainer", "volumeMounts", BY_MOUNT_PATH),
    ("NamespaceStatus", "conditions", BY_TYPE),
    ("NodeSpec", "podCIDRs", SET),
    ("NodeStatus", "addresses", BY_TYPE),
    ("NodeStatus", "conditions", BY_TYPE),
    ("ObjectMeta", "finalizers", SET),
    ("ObjectMeta", "ownerReferences", BY_UID),
    ("PodSpec", "containers", BY_NAME),
    ("PodSpec", "ephemeralContainers", BY_NAME),
    ("PodSpec", "hostAliases", BY_IP),
    ("PodSpec", "imagePullSecrets", BY_NAME),
    ("PodSpec", "initContainers", BY_NAME),
    ("PodSpec", "nodeSelector", ATOMIC),
    ("PodSpec", "resourceClaims", BY_NAME_RETAINED),
    ("PodSpec", "schedulingGates", BY_NAME),
    ("PodSpec", "topologySpreadConstraints", BY_TOPOLOGY_KEY),
    ("PodSpec", "volumes", BY_NAME_RETAINED),
    ("PodStatus", "conditions", BY_TYPE),
    ("PodStatus", "hostIPs", BY_IP_ATOMIC),
    ("PodStatus", "podIPs", BY_IP),
    ("PodStatus", "resourceClaimStatuses", BY_NAME_RETAINED),
    ("ReplicaSetStatus", "conditions", BY_TYPE),
    ("ResourceRequirements", "claims", RESOURCE_CLAIMS),
    ("ServiceAccount", "secrets", BY_NAME),
    ("ServiceSpec", "ports", BY_PORT),
    ("ServiceSpec", "selector", ATOMIC),
    ("ServiceStatus", "conditions", BY_TYPE),
];

/// Structs that server-side apply replaces as a whole, by the last part of their names.
const ATOMIC_STRUCTS: &[&str] = &[
    "ConfigMapKeySelector",
    "EndpointAddress",
    "EndpointPort",
    "FileKeySelector",
    "LabelSelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "OwnerReference",
    "ResourceFieldSelector",
    "ScopedResourceSelectorRequirement",
    "SecretKeySelector",
    "SecretReference",
    "TypedLocalObjectReference",
];

/// How this field is merged.
pub(crate) fn of_field(definition: &str, field: &str) -> &'static Merge {
    let name = last(definition);
    FIELDS.iter().find(|(t, f, _)| *t == name && *f == field).map_or(PLAIN, |(_, _, merge)| *merge)
}

/// Whether server-side apply replaces this struct as a whole.
pub(crate) fn is_atomic_struct(definition: &str) -> bool {
    ATOMIC_STRUCTS.contains(&last(definition))
}

/// `Container` of `io.k8s.api.core.v1.Container`.
pub(crate) fn last(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

/// Writes the tables into the definitions, as `x-kubernetes-…`.
pub(crate) fn annotate(all: &mut BTreeMap<String, Value>) {
    for (name, definition) in all {
        if is_atomic_struct(name) {
            definition["x-kubernetes-map-type"] = json!("atomic");
        }
        let Some(Value::Object(properties)) = definition.get_mut("properties") else { continue };
        for (field, schema) in properties {
            let is_list = schema.get("type") == Some(&json!("array"));
            let merge = of_field(name, field);
            if !merge.strategy.is_empty() {
                schema["x-kubernetes-patch-strategy"] = json!(merge.strategy);
            }
            if let Some(key) = merge.key {
                schema["x-kubernetes-patch-merge-key"] = json!(key);
            }
            if merge.atomic {
                schema["x-kubernetes-map-type"] = json!("atomic");
            }
            if !merge.map_keys.is_empty() {
                schema["x-kubernetes-list-map-keys"] = json!(merge.map_keys);
            }
            if is_list {
                let list = if merge.set {
                    "set"
                } else if merge.map_keys.is_empty() {
                    "atomic"
                } else {
                    "map"
                };
                schema["x-kubernetes-list-type"] = json!(list);
            }
        }
    }
}
