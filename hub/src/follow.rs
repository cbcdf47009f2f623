//! The world, kept up to date from the store's watch.

use std::collections::BTreeSet;

use gannet_hub_api::objects::meta;
use gannet_hub_core::compile::touched;
use gannet_hub_core::{KINDS, Kind, ObjectKey, World};
use gannet_hub_store::{Event, EventKind, Range, Revision, Store, Watch, WatchError};
use gannet_protocols_model::NodeName;
use tracing::warn;

/// The decoded objects, and which nodes' documents their changes touched.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) world: World,
    touched: BTreeSet<NodeName>,
    watch: Watch,
}

impl Follower {
    /// Reads everything, then follows. Every node counts as touched.
    pub(crate) fn open(store: &Store) -> Self {
        loop {
            // The watch begins before the lists: what happens between is seen twice, which changes nothing.
            let from = store.revision();
            let Ok(watch) = store.watch(None, None, from) else { continue };
            let mut world = World::default();
            for kind in KINDS {
                for stored in store.list(&Range::of(kind.resource())).items {
                    let key = ObjectKey { namespace: stored.key.namespace, name: stored.key.name };
                    take(&mut world, kind, &key, Some((&stored.value, stored.modified)));
                }
            }
            let touched = world.nodes.keys().filter_map(|key| key.name.parse().ok()).collect();
            return Self { world, touched, watch };
        }
    }

    /// Waits for the next change and takes it in.
    pub(crate) async fn changed(&mut self) -> Result<(), WatchError> {
        let event = self.watch.next().await?;
        self.apply(&event);
        Ok(())
    }

    /// Takes in all that has happened. A store that has forgotten how it came here is read anew.
    pub(crate) fn catch_up(&mut self, store: &Store) {
        loop {
            match self.watch.try_next() {
                Ok(Some(event)) => self.apply(&event),
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "the store is read anew");
                    *self = Self::open(store);
                    return;
                }
            }
        }
    }

    /// The nodes to be compiled anew.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<NodeName> {
        std::mem::take(&mut self.touched)
    }

    /// These nodes are still to be compiled.
    pub(crate) fn touch_again(&mut self, node: NodeName) {
        self.touched.insert(node);
    }

    fn apply(&mut self, event: &Event) {
        let Some(kind) = Kind::of_resource(&event.key.kind) else { return };
        let key = ObjectKey::new(&event.key.namespace, &event.key.name);
        let before = touched(&self.world, &self.world, kind, &key);
        let object = match &event.kind {
            EventKind::Put { value, .. } => Some((&**value, event.revision)),
            EventKind::Delete { .. } => None,
        };
        take(&mut self.world, kind, &key, object);
        self.touched.extend(before);
        self.touched.extend(touched(&self.world, &self.world, kind, &key));
    }
}

fn take(world: &mut World, kind: &'static Kind, key: &ObjectKey, object: Option<(&[u8], Revision)>) {
    let decoded =
        object.map(|(value, revision)| meta::decode(value, revision.0).map(|v| v.to_string().into_bytes()));
    let result = match decoded.transpose() {
        Ok(bytes) => world
            .apply(kind, key, bytes.as_deref())
            .map_err(|e| format!("{e}: {:?}", std::error::Error::source(&e))),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = result {
        warn!(object.kind = kind.kind, object.key = %key, error, "a stored object is left out of every decision");
    }
}
