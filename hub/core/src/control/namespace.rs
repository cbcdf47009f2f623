//! Namespaces: those of the system exist; one that is being deleted takes everything in it along.

use k8s_openapi::api::core::v1::{Namespace, NamespaceSpec, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::draft::{Draft, Sheet, Stored};
use super::meta;
use crate::ObjectKey;

/// The namespaces that a fleet always has.
const SYSTEM: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Kubernetes' finalizer in `spec.finalizers`, which stands for the content.
const FINALIZER: &str = "kubernetes";

/// Makes the system's namespaces, and takes deletions further.
pub(crate) fn sync_all(draft: &mut Draft<'_>) {
    for name in SYSTEM {
        if draft.namespaces.get(&ObjectKey::new("", name)).is_none() {
            let namespace = system(name, draft);
            draft.namespaces.create(namespace);
        }
    }
    let ending = draft.namespaces.iter().filter(|(_, n)| meta::is_terminating(&n.metadata));
    let ending: Vec<ObjectKey> = ending.map(|(key, _)| key.clone()).collect();
    for key in ending {
        end(draft, &key);
    }
}

fn system(name: &str, draft: &mut Draft<'_>) -> Namespace {
    Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(draft.ids.uid()),
            creation_timestamp: Some(meta::time(draft.now)),
            labels: Some([("kubernetes.io/metadata.name".to_owned(), name.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NamespaceSpec { finalizers: Some(vec![FINALIZER.to_owned()]) }),
        status: Some(NamespaceStatus { phase: Some("Active".to_owned()), ..NamespaceStatus::default() }),
    }
}

/// Deletes what is in the namespace; then gives up the hold on it; then it is gone.
fn end(draft: &mut Draft<'_>, key: &ObjectKey) {
    draft.namespaces.update(key, |namespace| {
        namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
    });
    let (name, now) = (key.name.as_str(), draft.now);
    let mut left = 0;
    left += clear(&mut draft.deployments, name, now);
    left += clear(&mut draft.replica_sets, name, now);
    left += clear(&mut draft.pods, name, now);
    left += clear(&mut draft.services, name, now);
    left += clear(&mut draft.endpoints, name, now);
    left += clear(&mut draft.endpoint_slices, name, now);
    left += clear(&mut draft.config_maps, name, now);
    left += clear(&mut draft.secrets, name, now);
    left += clear(&mut draft.service_accounts, name, now);
    let unread = draft.world.unreadable.iter().any(|(_, key)| key.namespace == name);
    if left > 0 || unread {
        return;
    }
    draft.namespaces.update(key, |namespace| {
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|s| s.finalizers.as_mut()) {
            finalizers.retain(|f| f != FINALIZER);
        }
    });
    let free = draft.namespaces.get(key).is_some_and(|namespace| {
        let finalizers = namespace.spec.as_ref().and_then(|s| s.finalizers.as_ref());
        finalizers.is_none_or(Vec::is_empty) && !meta::has_finalizers(&namespace.metadata)
    });
    if free {
        draft.namespaces.remove(key);
    }
}

/// Begins the deletion of all objects; how many were there, those on their way out among them.
fn clear<T: Stored>(
    sheet: &mut Sheet<'_, T>,
    namespace: &str,
    now: gannet_protocols_model::Timestamp,
) -> usize {
    let keys: Vec<ObjectKey> = sheet.in_namespace(namespace).map(|(key, _)| key.clone()).collect();
    for key in &keys {
        sheet.delete(key, now);
    }
    keys.len()
}
