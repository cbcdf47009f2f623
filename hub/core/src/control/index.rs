//! Who belongs to whom: built once a turn, so that no controller searches all pods for its own.

use std::collections::{BTreeMap, BTreeSet};

use super::meta;
use crate::{ObjectKey, World};

type ByText<'a> = BTreeMap<&'a str, Vec<&'a ObjectKey>>;

/// The indexes of a turn. They list candidates: who uses them looks at the object as it is by now.
#[derive(Debug, Default)]
pub(crate) struct Index<'a> {
    pods_by_owner: ByText<'a>,
    orphan_pods: ByText<'a>,
    sets_by_owner: ByText<'a>,
    orphan_sets: ByText<'a>,
    /// By namespace, label and value.
    pods_by_label: BTreeMap<&'a str, BTreeMap<&'a str, ByText<'a>>>,
    added: BTreeMap<String, Vec<ObjectKey>>,
}

impl<'a> Index<'a> {
    pub(crate) fn of(world: &'a World) -> Self {
        let mut index = Self::default();
        let wanted: BTreeSet<_> = world
            .services
            .iter()
            .filter_map(|(key, service)| {
                let (label, value) = service.spec.as_ref()?.selector.as_ref()?.iter().next()?;
                Some((key.namespace.as_str(), label.as_str(), value.as_str()))
            })
            .collect();
        for (key, pod) in &world.pods {
            match meta::controller_of(&pod.metadata) {
                Some(owner) => index.pods_by_owner.entry(&owner.uid).or_default().push(key),
                None => index.orphan_pods.entry(&key.namespace).or_default().push(key),
            }
            if wanted.is_empty() {
                continue;
            }
            for (label, value) in meta::labels(&pod.metadata) {
                let entry = (key.namespace.as_str(), label.as_str(), value.as_str());
                if wanted.contains(&entry) {
                    let of_label =
                        index.pods_by_label.entry(entry.0).or_default().entry(entry.1).or_default();
                    of_label.entry(entry.2).or_default().push(key);
                }
            }
        }
        for (key, set) in &world.replica_sets {
            match meta::controller_of(&set.metadata) {
                Some(owner) => index.sets_by_owner.entry(&owner.uid).or_default().push(key),
                None => index.orphan_sets.entry(&key.namespace).or_default().push(key),
            }
        }
        index
    }

    /// Notes an object that an owner made or adopted in this turn.
    pub(crate) fn add(&mut self, owner: &str, key: ObjectKey) {
        self.added.entry(owner.to_owned()).or_default().push(key);
    }

    /// Pods that may be controlled by the owner, and pods of its namespace that nobody controlled.
    pub(crate) fn pods(&self, owner: &str, namespace: &str) -> (Vec<ObjectKey>, Vec<ObjectKey>) {
        (self.owned(&self.pods_by_owner, owner), cloned(&self.orphan_pods, namespace))
    }

    /// ReplicaSets that may be controlled by the owner, and those of its namespace that nobody controlled.
    pub(crate) fn sets(&self, owner: &str, namespace: &str) -> (Vec<ObjectKey>, Vec<ObjectKey>) {
        (self.owned(&self.sets_by_owner, owner), cloned(&self.orphan_sets, namespace))
    }

    /// Pods with a label that some service selects by first.
    pub(crate) fn labelled(&self, namespace: &str, label: &str, value: &str) -> &[&'a ObjectKey] {
        let pods = self.pods_by_label.get(namespace).and_then(|labels| labels.get(label)?.get(value));
        pods.map_or(&[], Vec::as_slice)
    }

    fn owned(&self, by_owner: &ByText<'_>, owner: &str) -> Vec<ObjectKey> {
        let mut keys = cloned(by_owner, owner);
        keys.extend(self.added.get(owner).into_iter().flatten().cloned());
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

fn cloned(lists: &ByText<'_>, at: &str) -> Vec<ObjectKey> {
    lists.get(at).into_iter().flatten().map(|&key| key.clone()).collect()
}
