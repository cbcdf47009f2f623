//! The hub's store: objects with compare-and-set, deletion as the API does it, and what the hub records of documents.
//! It survives the hub.

use std::collections::BTreeMap;
use std::time::Duration;

use gannet_hub_core::{Change, Kind, ObjectKey, Precondition};
use gannet_protocols_model::{Digest, Generation, NodeName, Timestamp};
use serde_json::{Value, json};

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was made.
    Done,
    /// It is so already, or the world had moved on.
    Stale,
}

/// The document that a node should have.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its generation.
    pub generation: Generation,
    /// What it says, whatever its generation.
    pub content: Digest,
}

/// The store.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<(String, ObjectKey), Value>,
    revision: u64,
    /// The newest document of each node.
    pub recorded: BTreeMap<NodeName, Recorded>,
    /// How often a hub was started.
    pub epoch: u64,
}

fn key_of(object: &Value) -> ObjectKey {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    ObjectKey { namespace: text("namespace"), name: text("name") }
}

fn has_finalizers(object: &Value) -> bool {
    [&object["metadata"]["finalizers"], &object["spec"]["finalizers"]]
        .iter()
        .any(|list| list.as_array().is_some_and(|l| !l.is_empty()))
}

impl Store {
    /// Counts writes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// An object.
    pub fn get(&self, kind: &Kind, key: &ObjectKey) -> Option<&Value> {
        self.objects.get(&(kind.resource(), key.clone()))
    }

    /// All objects of a kind.
    pub fn list<'a>(&'a self, kind: &Kind) -> impl Iterator<Item = (&'a ObjectKey, &'a Value)> + use<'a> {
        let resource = kind.resource();
        self.objects.iter().filter(move |((r, _), _)| *r == resource).map(|((_, key), value)| (key, value))
    }

    /// Every object that there is.
    pub fn all(&self) -> impl Iterator<Item = (&'static Kind, &ObjectKey, &Value)> {
        self.objects.iter().filter_map(|((r, key), value)| Some((Kind::of_resource(r)?, key, value)))
    }

    /// The object that a change is about; none for events.
    pub fn target(change: &Change) -> Option<(&'static Kind, ObjectKey)> {
        match change {
            Change::Create { kind, object } | Change::Update { kind, object } => Some((kind, key_of(object))),
            Change::Delete { kind, key, .. } | Change::Remove { kind, key, .. } => Some((kind, key.clone())),
            Change::Event { .. } => None,
        }
    }

    /// Makes one change, as one transaction.
    pub fn apply(&mut self, change: &Change, now: Timestamp) -> Applied {
        match change {
            Change::Create { kind, object } => self.create(kind, object.clone(), now),
            Change::Update { kind, object } => self.update(kind, object.clone()),
            Change::Delete { kind, key, precondition } => self.delete(kind, key, precondition, now),
            Change::Remove { kind, key, precondition } => {
                let held = self.get(kind, key).is_none_or(has_finalizers);
                if held || !self.holds(kind, key, precondition) {
                    return Applied::Stale;
                }
                self.drop(kind, key)
            }
            Change::Event { .. } => Applied::Done,
        }
    }

    fn holds(&self, kind: &Kind, key: &ObjectKey, precondition: &Precondition) -> bool {
        let Some(object) = self.get(kind, key) else { return false };
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|w| object["metadata"][field].as_str() == Some(w))
        };
        is("uid", &precondition.uid) && is("resourceVersion", &precondition.resource_version)
    }

    fn put(&mut self, kind: &Kind, mut object: Value) -> Applied {
        self.revision += 1;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let key = key_of(&object);
        self.objects.insert((kind.resource(), key), object);
        Applied::Done
    }

    fn drop(&mut self, kind: &Kind, key: &ObjectKey) -> Applied {
        match self.objects.remove(&(kind.resource(), key.clone())) {
            Some(_) => {
                self.revision += 1;
                Applied::Done
            }
            None => Applied::Stale,
        }
    }

    fn create(&mut self, kind: &Kind, mut object: Value, now: Timestamp) -> Applied {
        if self.get(kind, &key_of(&object)).is_some() {
            return Applied::Stale;
        }
        let next = self.revision + 1;
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}-{next}", kind.plural));
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] = json!(now.to_string());
        }
        if matches!(kind.kind, "Deployment" | "ReplicaSet") {
            metadata["generation"] = json!(1);
        }
        self.put(kind, object)
    }

    fn update(&mut self, kind: &Kind, mut object: Value) -> Applied {
        let key = key_of(&object);
        let Some(old) = self.get(kind, &key) else { return Applied::Stale };
        if old["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Applied::Stale;
        }
        for field in ["uid", "creationTimestamp", "deletionTimestamp"] {
            let kept = old["metadata"][field].clone();
            if object["metadata"][field] != kept {
                object["metadata"][field] = kept;
            }
        }
        if let Some(generation) = old["metadata"]["generation"].as_i64() {
            let wanted = old["spec"] != object["spec"];
            object["metadata"]["generation"] = json!(generation + i64::from(wanted));
        }
        if *old == object {
            return Applied::Stale;
        }
        let ended = object["metadata"]["deletionTimestamp"].is_string()
            && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
            && !has_finalizers(&object);
        if ended { self.drop(kind, &key) } else { self.put(kind, object) }
    }

    fn delete(
        &mut self,
        kind: &Kind,
        key: &ObjectKey,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Applied {
        if !self.holds(kind, key, precondition) {
            return Applied::Stale;
        }
        let Some(mut object) = self.get(kind, key).cloned() else { return Applied::Stale };
        let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let bound = *kind == *Kind::POD && object["spec"]["nodeName"].is_string() && !ended;
        let own = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        let grace = if bound { own } else { 0 };
        if grace == 0 && !has_finalizers(&object) {
            return self.drop(kind, key);
        }
        if object["metadata"]["deletionTimestamp"].is_string() {
            return Applied::Stale;
        }
        let end = now.plus(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
        object["metadata"]["deletionTimestamp"] = json!(end.to_string());
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.put(kind, object)
    }
}
