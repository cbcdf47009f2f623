//! The ServiceAccount `default`, which every namespace has.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::draft::Draft;
use super::meta;
use crate::ObjectKey;

/// Makes the missing ones.
pub(crate) fn sync_all(draft: &mut Draft<'_>) {
    for namespace in draft.namespaces.keys() {
        let key = ObjectKey::new(&namespace.name, "default");
        if draft.service_accounts.get(&key).is_some() || !draft.is_open(&namespace.name) {
            continue;
        }
        let metadata = ObjectMeta {
            name: Some(key.name),
            namespace: Some(key.namespace),
            uid: Some(draft.ids.uid()),
            creation_timestamp: Some(meta::time(draft.now)),
            ..ObjectMeta::default()
        };
        draft.service_accounts.create(ServiceAccount { metadata, ..ServiceAccount::default() });
    }
}
