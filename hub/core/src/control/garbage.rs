//! Garbage collection: what is owned goes with its last owner.
//!
//! In the background by default; with the finalizer `foregroundDeletion` an owner waits for what blocks it; with `orphan`
//! what it owns is set free first. An owner of a kind that the hub does not know, or one that is stored and cannot be
//! read, counts as existing: when in doubt, nothing is collected.

use std::collections::BTreeMap;

use gannet_protocols_model::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::draft::{Draft, Sheet, Stored};
use super::meta;
use crate::{Kind, ObjectKey};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Takes the deletions of owners, and of what they leave behind, one step further: owners before what they own.
pub(crate) fn sync_all(draft: &mut Draft<'_>) {
    let leaving = Leaving::of(draft);
    let now = draft.now;
    macro_rules! collect {
        ($($sheet:ident)*) => {$(
            let verdicts = judge(draft, &leaving, &draft.$sheet);
            apply(&mut draft.$sheet, verdicts, now);
        )*};
    }
    collect!(services deployments replica_sets config_maps secrets service_accounts endpoints endpoint_slices pods);
}

fn apply<T: Stored>(sheet: &mut Sheet<'_, T>, verdicts: Vec<(ObjectKey, Verdict)>, now: Timestamp) {
    for (key, verdict) in verdicts {
        match verdict {
            Verdict::Release(uids) => {
                sheet.update(&key, |object| {
                    uids.iter().for_each(|uid| meta::release(object.metadata_mut(), uid))
                });
            }
            Verdict::DropFinalizer(finalizer) => {
                sheet.update(&key, |object| meta::drop_finalizer(object.metadata_mut(), finalizer));
            }
            Verdict::DeleteForeground => {
                sheet.update(&key, |object| {
                    object.metadata_mut().finalizers.get_or_insert_default().push(FOREGROUND.to_owned());
                });
            }
            Verdict::Delete => drop(sheet.delete(&key, now)),
            Verdict::Remove => sheet.remove(&key),
        }
    }
}

enum Verdict {
    /// Some owners are gone, others not.
    Release(Vec<String>),
    DropFinalizer(&'static str),
    /// Delete it, but after what it owns.
    DeleteForeground,
    Delete,
    /// Being deleted, and nothing holds it any more.
    Remove,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Solid,
    /// Being deleted, and waits for what it owns.
    Waiting,
    Gone,
}

/// Owners that are being deleted and hold on for what they own: how many objects name each, and how many of those
/// block it.
#[derive(Default)]
struct Leaving(BTreeMap<String, (usize, usize)>);

impl Leaving {
    fn of(draft: &Draft<'_>) -> Self {
        let mut leaving = Self::default();
        macro_rules! note {
            ($step:ident: $($sheet:ident)*) => {$( leaving.$step(&draft.$sheet); )*};
        }
        note!(note_owners: services deployments replica_sets config_maps secrets service_accounts endpoints
            endpoint_slices pods nodes namespaces);
        note!(note_dependents: services deployments replica_sets config_maps secrets service_accounts endpoints
            endpoint_slices pods);
        leaving
    }

    fn note_owners<T: Stored>(&mut self, sheet: &Sheet<'_, T>) {
        for (_, object) in sheet.iter() {
            let meta = object.metadata();
            if meta::is_terminating(meta) && (holds(meta, FOREGROUND) || holds(meta, ORPHAN)) {
                self.0.insert(meta::uid(meta).to_owned(), (0, 0));
            }
        }
    }

    fn note_dependents<T: Stored>(&mut self, sheet: &Sheet<'_, T>) {
        if self.0.is_empty() {
            return;
        }
        for (_, object) in sheet.iter() {
            for reference in object.metadata().owner_references.iter().flatten() {
                if let Some((all, blocking)) = self.0.get_mut(&reference.uid) {
                    *all += 1;
                    *blocking += usize::from(reference.block_owner_deletion == Some(true));
                }
            }
        }
    }
}

fn holds(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|f| f == finalizer)
}

fn state(draft: &Draft<'_>, namespace: &str, reference: &OwnerReference) -> Owner {
    let Some(kind) = Kind::of(&reference.api_version, &reference.kind) else { return Owner::Solid };
    let key = ObjectKey::new(if kind.is_namespaced() { namespace } else { "" }, &reference.name);
    let owner = match kind.kind {
        "Deployment" => draft.deployments.get(&key).map(Metadata::metadata),
        "ReplicaSet" => draft.replica_sets.get(&key).map(Metadata::metadata),
        "Service" => draft.services.get(&key).map(Metadata::metadata),
        "Node" => draft.nodes.get(&key).map(Metadata::metadata),
        "Pod" => draft.pods.get(&key).map(Metadata::metadata),
        "ConfigMap" => draft.config_maps.get(&key).map(Metadata::metadata),
        "Secret" => draft.secrets.get(&key).map(Metadata::metadata),
        "ServiceAccount" => draft.service_accounts.get(&key).map(Metadata::metadata),
        "Endpoints" => draft.endpoints.get(&key).map(Metadata::metadata),
        "EndpointSlice" => draft.endpoint_slices.get(&key).map(Metadata::metadata),
        "Namespace" => draft.namespaces.get(&key).map(Metadata::metadata),
        // Kinds that are not kept in the world: Event, Lease.
        _ => return Owner::Solid,
    };
    match owner {
        Some(owner) if meta::uid(owner) == reference.uid => {
            let waits = meta::is_terminating(owner) && holds(owner, FOREGROUND);
            if waits { Owner::Waiting } else { Owner::Solid }
        }
        _ if draft.world.unreadable.contains(&(kind.resource(), key)) => Owner::Solid,
        _ => Owner::Gone,
    }
}

fn judge<T: Stored>(draft: &Draft<'_>, leaving: &Leaving, sheet: &Sheet<'_, T>) -> Vec<(ObjectKey, Verdict)> {
    let verdict = |key: &ObjectKey, meta: &ObjectMeta| {
        if meta::is_terminating(meta) {
            ending(leaving, sheet.kind(), meta)
        } else {
            living(draft, leaving, sheet.kind(), key, meta)
        }
    };
    sheet.iter().filter_map(|(key, object)| Some((key.clone(), verdict(key, object.metadata())?))).collect()
}

fn living(
    draft: &Draft<'_>,
    leaving: &Leaving,
    kind: &Kind,
    key: &ObjectKey,
    meta: &ObjectMeta,
) -> Option<Verdict> {
    let references = meta.owner_references.as_ref().filter(|r| !r.is_empty())?;
    let states: Vec<_> = references.iter().map(|r| (r, state(draft, &key.namespace, r))).collect();
    if states.iter().all(|(_, state)| *state == Owner::Solid) {
        // Owners that are being deleted and want to leave what they own behind.
        let free = references.iter().map(|r| &r.uid).filter(|uid| leaving.0.contains_key(*uid));
        let free: Vec<String> = free.cloned().collect();
        return (!free.is_empty()).then_some(Verdict::Release(free));
    }
    if states.iter().any(|(_, state)| *state == Owner::Solid) {
        let lost = states.iter().filter(|(_, state)| *state != Owner::Solid);
        return Some(Verdict::Release(lost.map(|(r, _)| r.uid.clone()).collect()));
    }
    let waited_for = states.iter().any(|(_, state)| *state == Owner::Waiting);
    let owns = matches!(kind.kind, "Deployment" | "ReplicaSet");
    Some(if waited_for && owns && !holds(meta, FOREGROUND) {
        Verdict::DeleteForeground
    } else {
        Verdict::Delete
    })
}

fn ending(leaving: &Leaving, kind: &Kind, meta: &ObjectMeta) -> Option<Verdict> {
    let (all, blocking) = leaving.0.get(meta::uid(meta)).copied().unwrap_or_default();
    if holds(meta, ORPHAN) {
        return (all == 0).then_some(Verdict::DropFinalizer(ORPHAN));
    }
    if holds(meta, FOREGROUND) {
        return (blocking == 0).then_some(Verdict::DropFinalizer(FOREGROUND));
    }
    // Pods go when their node says so; see `pod_gc`.
    (!meta::has_finalizers(meta) && kind != Kind::POD).then_some(Verdict::Remove)
}

#[cfg(test)]
#[path = "garbage_test.rs"]
mod tests;
