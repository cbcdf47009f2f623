//! A world for tests: stores changes as the hub does, and plays the nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use gannet_protocols_model::{
    ContainerState, ContainerStatus, Digest, NodeName, PodPhase, PodStatus, PodUid, Timestamp,
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{Context, SeededNames, Turn, apply_report, is_terminating, meta, pod_removed, turn};
use crate::{Change, Kind, ObjectKey, World};

/// 2027-01-15T08:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[derive(Debug, Clone)]
pub(crate) struct TestWorld {
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    /// `Kind/name Reason message`, or with `!` in front where it is a warning.
    pub(crate) events: Vec<String>,
    /// When the last turn asked for another.
    pub(crate) next: Option<Timestamp>,
    names: SeededNames,
    revision: u64,
    stored: BTreeMap<(String, ObjectKey), Value>,
}

impl TestWorld {
    /// The system's namespaces, and nothing in them but their accounts.
    pub(crate) fn new() -> Self {
        let mut world = Self {
            world: World::default(),
            now: START,
            events: Vec::new(),
            next: None,
            names: SeededNames::new(7),
            revision: 0,
            stored: BTreeMap::new(),
        };
        world.settle();
        world
    }

    pub(crate) fn with_nodes(count: u32) -> Self {
        let mut world = Self::new();
        for i in 1..=count {
            world.node(&format!("n{i}"), json!({}));
        }
        world
    }

    /// A ready node with 4 cores, 4Gi and room for 110 pods, with this merged over it.
    pub(crate) fn node(&mut self, name: &str, patch: Value) {
        let last: u32 = name.bytes().map(u32::from).sum::<u32>() % 250 + 1;
        let mut node = json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {
                "allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"},
                "addresses": [{"type": "InternalIP", "address": format!("10.0.0.{last}")}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "AgentReady"}],
            },
        });
        merge(&mut node, patch);
        self.put(Kind::NODE, node);
    }

    /// The Deployment of the example, with this merged over it, in namespace `default`.
    pub(crate) fn deployment(&mut self, patch: Value) {
        let mut deployment = json!({
            "metadata": {"name": "web-app", "namespace": "default", "generation": 1},
            "spec": {
                "replicas": 3, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
                "selector": {"matchLabels": {"app": "web-app"}},
                "template": {
                    "metadata": {"labels": {"app": "web-app"}},
                    "spec": {"containers": [{
                        "name": "web-app", "image": "my-web-app:1", "ports": [{"name": "http", "containerPort": 8080}],
                        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    }]},
                },
            },
        });
        merge(&mut deployment, patch);
        self.put(Kind::DEPLOYMENT, deployment);
    }

    /// What a user's write of a spec does.
    pub(crate) fn patch(&mut self, kind: &'static Kind, name: &str, patch: Value) {
        let mut object = self.object(kind, name);
        let before = object["spec"].clone();
        merge(&mut object, patch);
        if let Some(generation) =
            object["metadata"]["generation"].as_i64().filter(|_| before != object["spec"])
        {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        self.put(kind, object);
    }

    pub(crate) fn object(&self, kind: &'static Kind, name: &str) -> Value {
        self.find(kind, name).unwrap_or_else(|| panic!("no {} {name}", kind.kind))
    }

    pub(crate) fn find(&self, kind: &'static Kind, name: &str) -> Option<Value> {
        let namespace = if kind.is_namespaced() { "default" } else { "" };
        self.stored.get(&(kind.resource(), ObjectKey::new(namespace, name))).cloned()
    }

    pub(crate) fn put(&mut self, kind: &'static Kind, mut object: Value) {
        self.revision += 1;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        let meta = &mut object["metadata"];
        meta["resourceVersion"] = json!(self.revision.to_string());
        if kind.is_namespaced() && meta["namespace"].is_null() {
            meta["namespace"] = json!("default");
        }
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}-{}", kind.plural, self.revision));
        }
        if meta["creationTimestamp"].is_null() {
            meta["creationTimestamp"] = json!(self.now.to_string());
        }
        let key = ObjectKey::new(
            meta["namespace"].as_str().unwrap_or_default(),
            meta["name"].as_str().expect("an object has a name"),
        );
        let bytes = serde_json::to_vec(&object).unwrap();
        self.world.apply(kind, &key, Some(&bytes)).unwrap();
        self.stored.insert((kind.resource(), key), object);
    }

    fn drop_object(&mut self, kind: &'static Kind, key: &ObjectKey) {
        self.revision += 1;
        self.world.apply(kind, key, None).unwrap();
        self.stored.remove(&(kind.resource(), key.clone()));
    }

    /// What an API client's deletion does.
    pub(crate) fn delete(&mut self, kind: &'static Kind, key: &ObjectKey) {
        let Some(mut object) = self.stored.get(&(kind.resource(), key.clone())).cloned() else { return };
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        let bound = object["spec"]["nodeName"].is_string();
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        if held || *kind == *Kind::NAMESPACE || (*kind == *Kind::POD && bound) {
            object["metadata"]["deletionTimestamp"] = json!(self.now.to_string());
            object["metadata"]["deletionGracePeriodSeconds"] =
                json!(if *kind == *Kind::POD { 30 } else { 0 });
            self.put(kind, object);
        } else {
            self.drop_object(kind, key);
        }
    }

    /// Commits changes as the shell does. A conflict is a mistake here: nobody else writes.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Create { kind, object } => {
                    let key = ObjectKey::new(
                        object["metadata"]["namespace"].as_str().unwrap_or_default(),
                        object["metadata"]["name"].as_str().unwrap(),
                    );
                    let taken = self.stored.contains_key(&(kind.resource(), key.clone()));
                    assert!(!taken, "{} {key} is created a second time", kind.kind);
                    self.put(kind, object);
                }
                Change::Update { kind, object } => {
                    let meta = &object["metadata"];
                    let key = ObjectKey::new(
                        meta["namespace"].as_str().unwrap_or_default(),
                        meta["name"].as_str().unwrap(),
                    );
                    let stored = &self.stored[&(kind.resource(), key.clone())];
                    assert_eq!(
                        stored["metadata"]["resourceVersion"], meta["resourceVersion"],
                        "{key} was changed twice"
                    );
                    self.put(kind, object);
                }
                Change::Delete { kind, key, .. } => self.delete(kind, &key),
                Change::Remove { kind, key, .. } => self.drop_object(kind, &key),
                Change::Event { kind, key, warning, reason, message, .. } => {
                    let mark = if warning { "!" } else { "" };
                    self.events.push(format!("{mark}{}/{} {reason} {message}", kind.kind, key.name));
                }
            }
        }
    }

    /// What a turn would do.
    pub(crate) fn decide(&mut self) -> Turn {
        turn(&mut Context { world: &self.world, now: self.now, ids: &mut self.names })
    }

    /// One turn, committed; whether it changed anything.
    pub(crate) fn turn(&mut self) -> bool {
        let turn = self.decide();
        let changed = !turn.changes.is_empty();
        self.next = turn.next;
        self.apply(turn.changes);
        changed
    }

    /// Turns until there is nothing to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..30 {
            if !self.turn() {
                return;
            }
        }
        panic!("no end of changes: {:#?}", self.decide().changes);
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    pub(crate) fn take_events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    /// The pods with this word in their name, in order of name.
    pub(crate) fn pods(&self, word: &str) -> Vec<std::sync::Arc<Pod>> {
        let pods = self.world.pods.iter().filter(|(key, _)| key.name.contains(word));
        pods.map(|(_, pod)| pod.clone()).collect()
    }

    /// The node of a pod reports it as running, ready or not.
    pub(crate) fn report(&mut self, pod: &Pod, ready: bool) {
        let Some(node) = meta::node_name(pod) else { return };
        let node: NodeName = node.parse().unwrap();
        let report = running(pod, ready, START);
        let change = apply_report(&self.world, &node, &report, self.now);
        self.apply(change.into_iter().collect());
    }

    /// All nodes carry out what they are told: pods run and are ready, deleted pods are gone.
    pub(crate) fn nodes_work(&mut self) {
        for pod in self.pods("") {
            self.node_works(&pod);
        }
    }

    pub(crate) fn node_works(&mut self, pod: &Pod) {
        let Some(node) = meta::node_name(pod) else { return };
        if is_terminating(&pod.metadata) {
            let uid: PodUid = meta::uid(&pod.metadata).parse().unwrap();
            let change = pod_removed(&self.world, &node.parse().unwrap(), &uid);
            self.apply(change.into_iter().collect());
        } else {
            self.report(pod, true);
        }
    }

    /// Turns and nodes in turn until nothing happens any more.
    pub(crate) fn finish(&mut self) {
        for _ in 0..100 {
            self.settle();
            let before = self.revision;
            self.nodes_work();
            if self.revision == before {
                return;
            }
            self.wait(1);
        }
        panic!("the rollout does not end");
    }

    /// The ReplicaSets: `NAME-SUFFIX desired/current/ready` by age, with names as letters.
    pub(crate) fn sizes(&self) -> Vec<(i32, i32, i32)> {
        let mut sets: Vec<_> = self.world.replica_sets.values().collect();
        sets.sort_by_key(|set| (meta::created(&set.metadata), meta::name(&set.metadata).to_owned()));
        let of = |set: &k8s_openapi::api::apps::v1::ReplicaSet| {
            let status = set.status.clone().unwrap_or_default();
            (set.spec.replicas.unwrap_or(1), status.replicas, status.available_replicas.unwrap_or(0))
        };
        sets.into_iter().map(|set| of(set)).collect()
    }
}

/// A pod that runs on its node with a made-up address.
pub(crate) fn running(pod: &Pod, ready: bool, now: Timestamp) -> PodStatus {
    let uid = meta::uid(&pod.metadata);
    let sum: u32 = uid.bytes().fold(7, |sum, b| (sum * 31 + u32::from(b)) % 65_000);
    let container = |name: &String| ContainerStatus {
        name: name.clone(),
        state: ContainerState::Running { started_at: now },
        last: None,
        restart_count: 0,
        ready,
        started: true,
        resources: None,
        image_id: Some(Digest::of(b"image")),
        container_id: Some("c0ffee".to_owned()),
    };
    let spec = pod.spec.clone().unwrap_or_default();
    PodStatus {
        uid: uid.parse().unwrap(),
        namespace: meta::namespace(&pod.metadata).to_owned(),
        name: meta::name(&pod.metadata).to_owned(),
        manifest: Digest::of(b"manifest"),
        phase: PodPhase::Running,
        reason: None,
        message: None,
        ip: Some(std::net::Ipv4Addr::from(0x0a2a_0000 + sum)),
        started_at: Some(now),
        rolled_back: None,
        resize: None,
        init_containers: Vec::new(),
        containers: spec.containers.iter().map(|c| container(&c.name)).collect(),
    }
}

/// RFC 7386.
pub(crate) fn merge(into: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut into[key], value);
        }
    }
}
