//! Creating an object.

use gannet_hub_core::Kind;
use gannet_hub_core::admit::{FieldError, FieldErrorKind};
use serde_json::Value;

use crate::meta;
use crate::objects::{Objects, WriteMode, Written};
use crate::status::Status;
use crate::storage::Expect;

/// Kubernetes' alphabet for generated names: no vowels and nothing that looks like one, so that no word appears.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Longest prefix kept, so that the name fits a DNS label.
const MAX_PREFIX: usize = 63 - SUFFIX_LENGTH;
/// Tries to find a free generated name: 14 million suffixes, so one nearly always does.
const NAME_ATTEMPTS: usize = 8;

impl Objects {
    /// Creates an object in the namespace that the URL names (empty for objects of the cluster).
    pub async fn create(
        &self,
        kind: &'static Kind,
        namespace: &str,
        mut object: Value,
        mode: WriteMode,
    ) -> Result<Written, Status> {
        // Only controllers know uids beforehand.
        meta::set_field(&mut object, "uid", "");
        self.create_with_uid(kind, namespace, object, mode).await
    }

    /// The same, with the uid that the object brings, if it does.
    pub(crate) async fn create_with_uid(
        &self,
        kind: &'static Kind,
        namespace: &str,
        mut object: Value,
        mode: WriteMode,
    ) -> Result<Written, Status> {
        prepare(kind, namespace, &mut object)?;
        if meta::field(&object, "uid").is_empty() {
            meta::set_field(&mut object, "uid", &self.uid());
        }
        let generated = meta::field(&object, "name").is_empty();
        let _allocating = match kind.kind {
            "Service" => Some(self.allocation.lock().await),
            _ => None,
        };
        let mut attempts = if generated { NAME_ATTEMPTS } else { 1 };
        loop {
            let mut object = object.clone();
            if generated {
                let prefix: String = meta::field(&object, "generateName").chars().take(MAX_PREFIX).collect();
                meta::set_field(&mut object, "name", &(prefix + &self.suffix()));
            }
            let admitted = self.admit_create(kind, object)?;
            let key = meta::key(&admitted.object);
            if mode == WriteMode::DryRun && self.find(kind, &key)?.is_some() {
                return Err(Status::already_exists(kind, &key.name));
            }
            attempts -= 1;
            match self.put(kind, &key, admitted.object, Expect::Absent, mode).await? {
                Some(object) => return Ok(Written { object, warnings: admitted.warnings }),
                None if attempts > 0 => {}
                None => return Err(Status::already_exists(kind, &key.name)),
            }
        }
    }

    fn suffix(&self) -> String {
        let mut bytes = [0_u8; SUFFIX_LENGTH];
        (self.ports.random)(&mut bytes);
        bytes.iter().map(|b| char::from(SUFFIX_ALPHABET[usize::from(*b) % SUFFIX_ALPHABET.len()])).collect()
    }
}

/// Settles where the object lives and takes out what only the hub may set.
fn prepare(kind: &'static Kind, namespace: &str, object: &mut Value) -> Result<(), Status> {
    meta::set_type(object, kind);
    let said = meta::field(object, "namespace");
    if !said.is_empty() && said != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !meta::field(object, "resourceVersion").is_empty() {
        return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
    }
    meta::set_field(object, "namespace", namespace);
    for name in ["creationTimestamp", "deletionTimestamp", "selfLink"] {
        meta::set_field(object, name, "");
    }
    let metadata = meta::metadata(object);
    metadata.remove("deletionGracePeriodSeconds");
    metadata.remove("managedFields");
    metadata.remove("generation");
    if meta::field(object, "name").is_empty() && meta::field(object, "generateName").is_empty() {
        let required = FieldError {
            path: "metadata.name".to_owned(),
            kind: FieldErrorKind::Required,
            detail: "name or generateName is required".to_owned(),
        };
        return Err(Status::invalid(kind, "", vec![required]));
    }
    Ok(())
}
