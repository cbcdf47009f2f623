//! The working copy of a turn: the world, and on top of it what the turn has decided so far. Later controllers see what
//! earlier ones decided; at the end, each object that differs from the world becomes one change.

use std::collections::BTreeMap;
use std::sync::Arc;

use gannet_protocols_model::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use super::meta;
use super::names::Names;
use super::turn::Turn;
use crate::world::Objects;
use crate::{Change, Kind, ObjectKey, Precondition, World};

/// What every stored object can do.
pub(crate) trait Stored: Clone + PartialEq + Serialize + Metadata<Ty = ObjectMeta> {}
impl<T: Clone + PartialEq + Serialize + Metadata<Ty = ObjectMeta>> Stored for T {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Create,
    Update,
    Delete,
    Remove,
}

#[derive(Debug)]
struct Edit<T> {
    /// As later controllers see it; `None` once nothing is left of it.
    object: Option<T>,
    how: How,
}

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Sheet<'a, T> {
    kind: &'static Kind,
    base: &'a Objects<T>,
    edits: BTreeMap<ObjectKey, Edit<T>>,
}

impl<'a, T: Stored> Sheet<'a, T> {
    fn new(kind: &'static Kind, base: &'a Objects<T>) -> Self {
        Self { kind, base, edits: BTreeMap::new() }
    }

    /// The kind of these objects.
    pub(crate) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The object as it is by now.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&T> {
        match self.edits.get(key) {
            Some(edit) => edit.object.as_ref(),
            None => self.base.get(key).map(Arc::as_ref),
        }
    }

    /// The object as it is by now, to be kept while the draft changes.
    pub(crate) fn shared(&self, key: &ObjectKey) -> Option<Arc<T>> {
        match self.edits.get(key) {
            Some(edit) => edit.object.clone().map(Arc::new),
            None => self.base.get(key).cloned(),
        }
    }

    /// All objects: those of the world in order, then those that the turn touched in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &T)> {
        let untouched = self.base.iter().filter(|(key, _)| !self.edits.contains_key(key));
        let touched = self.edits.iter().filter_map(|(key, edit)| Some((key, edit.object.as_ref()?)));
        untouched.map(|(key, object)| (key, object.as_ref())).chain(touched)
    }

    /// The objects of a namespace, as [`Self::iter`].
    pub(crate) fn in_namespace<'s>(
        &'s self,
        namespace: &'s str,
    ) -> impl Iterator<Item = (&'s ObjectKey, &'s T)> {
        let from = ObjectKey::new(namespace, "");
        let base = self.base.range(from.clone()..).take_while(move |(key, _)| key.namespace == namespace);
        let edits = self.edits.range(from..).take_while(move |(key, _)| key.namespace == namespace);
        let untouched = base.filter(|(key, _)| !self.edits.contains_key(key));
        let touched = edits.filter_map(|(key, edit)| Some((key, edit.object.as_ref()?)));
        untouched.map(|(key, object)| (key, object.as_ref())).chain(touched)
    }

    /// The keys of all objects, in order.
    pub(crate) fn keys(&self) -> Vec<ObjectKey> {
        let mut keys: Vec<_> = self.iter().map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// Adds an object. One of that name must not exist.
    pub(crate) fn create(&mut self, object: T) {
        self.edits.insert(meta::key(object.metadata()), Edit { object: Some(object), how: How::Create });
    }

    /// Changes an object; whether it did change.
    pub(crate) fn update(&mut self, key: &ObjectKey, change: impl FnOnce(&mut T)) -> bool {
        let Some(old) = self.get(key) else { return false };
        let mut new = old.clone();
        change(&mut new);
        if new == *old {
            return false;
        }
        match self.edits.get_mut(key) {
            Some(edit) => edit.object = Some(new),
            None => drop(self.edits.insert(key.clone(), Edit { object: Some(new), how: How::Update })),
        }
        true
    }

    /// Begins the deletion of an object: a pod, and what has finalizers, stays for a while.
    pub(crate) fn delete(&mut self, key: &ObjectKey, now: Timestamp) -> bool {
        let Some(old) = self.get(key) else { return false };
        if meta::is_terminating(old.metadata()) {
            return false;
        }
        if self.edits.get(key).is_some_and(|edit| edit.how == How::Create) {
            self.edits.remove(key);
            return true;
        }
        let stays = meta::has_finalizers(old.metadata()) || *self.kind == *Kind::POD;
        let object = stays.then(|| {
            let mut object = old.clone();
            object.metadata_mut().deletion_timestamp = Some(meta::time(now));
            object
        });
        self.edits.insert(key.clone(), Edit { object, how: How::Delete });
        true
    }

    /// Removes an object at once.
    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        if self.get(key).is_some() {
            self.edits.insert(key.clone(), Edit { object: None, how: How::Remove });
        }
    }

    fn into_changes(self, changes: &mut Vec<Change>) {
        for (key, edit) in self.edits {
            let base = self.base.get(&key);
            let precondition = || Precondition {
                uid: base.and_then(|object| object.metadata().uid.clone()),
                resource_version: None,
            };
            let kind = self.kind;
            match (edit.how, edit.object) {
                // Typed objects of strings, numbers and maps always serialize.
                (How::Create, Some(object)) => {
                    changes.extend(
                        serde_json::to_value(object).ok().map(|object| Change::Create { kind, object }),
                    );
                }
                (How::Update, Some(object)) if base.is_none_or(|base| **base != object) => {
                    changes.extend(
                        serde_json::to_value(object).ok().map(|object| Change::Update { kind, object }),
                    );
                }
                (How::Create | How::Update, _) => {}
                (How::Delete, _) => changes.push(Change::Delete { kind, precondition: precondition(), key }),
                (How::Remove, _) => changes.push(Change::Remove { kind, precondition: precondition(), key }),
            }
        }
    }
}

/// The working copy.
pub(crate) struct Draft<'a> {
    pub(crate) world: &'a World,
    pub(crate) now: Timestamp,
    pub(crate) ids: &'a mut dyn Names,
    pub(crate) namespaces: Sheet<'a, Namespace>,
    pub(crate) nodes: Sheet<'a, Node>,
    pub(crate) pods: Sheet<'a, Pod>,
    pub(crate) config_maps: Sheet<'a, ConfigMap>,
    pub(crate) secrets: Sheet<'a, Secret>,
    pub(crate) services: Sheet<'a, Service>,
    pub(crate) service_accounts: Sheet<'a, ServiceAccount>,
    pub(crate) endpoints: Sheet<'a, Endpoints>,
    pub(crate) endpoint_slices: Sheet<'a, EndpointSlice>,
    pub(crate) deployments: Sheet<'a, Deployment>,
    pub(crate) replica_sets: Sheet<'a, ReplicaSet>,
    events: Vec<Change>,
    next: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(world: &'a World, now: Timestamp, ids: &'a mut dyn Names) -> Self {
        Self {
            world,
            now,
            ids,
            namespaces: Sheet::new(Kind::NAMESPACE, &world.namespaces),
            nodes: Sheet::new(Kind::NODE, &world.nodes),
            pods: Sheet::new(Kind::POD, &world.pods),
            config_maps: Sheet::new(Kind::CONFIG_MAP, &world.config_maps),
            secrets: Sheet::new(Kind::SECRET, &world.secrets),
            services: Sheet::new(Kind::SERVICE, &world.services),
            service_accounts: Sheet::new(Kind::SERVICE_ACCOUNT, &world.service_accounts),
            endpoints: Sheet::new(Kind::ENDPOINTS, &world.endpoints),
            endpoint_slices: Sheet::new(Kind::ENDPOINT_SLICE, &world.endpoint_slices),
            deployments: Sheet::new(Kind::DEPLOYMENT, &world.deployments),
            replica_sets: Sheet::new(Kind::REPLICA_SET, &world.replica_sets),
            events: Vec::new(),
            next: None,
        }
    }

    /// Asks for a turn at this time, as nothing but time will make the next step due.
    pub(crate) fn due(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Whether new objects may be made in a namespace.
    pub(crate) fn is_open(&self, namespace: &str) -> bool {
        self.namespaces
            .get(&ObjectKey::new("", namespace))
            .is_some_and(|n| !meta::is_terminating(&n.metadata))
    }

    /// Records an event.
    pub(crate) fn event(
        &mut self,
        kind: &'static Kind,
        about: &ObjectMeta,
        warning: bool,
        reason: &str,
        message: String,
        component: &'static str,
    ) {
        let (key, uid) = (meta::key(about), meta::uid(about).to_owned());
        let reason = reason.to_owned();
        self.events.push(Change::Event { kind, key, uid, warning, reason, message, component, at: None });
    }

    /// What became of it: owners before what they own, events last.
    pub(crate) fn finish(self) -> Turn {
        let mut changes = Vec::new();
        self.namespaces.into_changes(&mut changes);
        self.service_accounts.into_changes(&mut changes);
        self.replica_sets.into_changes(&mut changes);
        self.pods.into_changes(&mut changes);
        self.deployments.into_changes(&mut changes);
        self.services.into_changes(&mut changes);
        self.endpoints.into_changes(&mut changes);
        self.endpoint_slices.into_changes(&mut changes);
        self.config_maps.into_changes(&mut changes);
        self.secrets.into_changes(&mut changes);
        self.nodes.into_changes(&mut changes);
        changes.extend(self.events);
        Turn { changes, next: self.next }
    }
}
