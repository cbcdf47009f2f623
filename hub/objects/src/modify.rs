//! Changing an object: read, change, check, compare and set; again when somebody else was faster.

use gannet_hub_core::{Kind, ObjectKey};
use serde_json::Value;

use crate::meta;
use crate::objects::{Objects, WriteMode, Written};
use crate::status::Status;
use crate::storage::Expect;

/// Tries of one change; between two of them somebody else's write succeeded.
const ATTEMPTS: usize = 10;

/// Which part of an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the status, for a kind that has a status subresource.
    Main,
    /// The status alone.
    Status,
    /// What a pod's containers may use, and nothing else.
    Resize,
    /// Everything, unchecked: for the hub's own controllers.
    Whole,
}

impl Objects {
    /// Changes an object. `change` gets the object as it is and returns what it should be; it may be called again. Where
    /// the result names a `resourceVersion`, it has to be that of the object.
    pub async fn modify(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        part: Part,
        mode: WriteMode,
        change: &(dyn Fn(&Value) -> Result<Value, Status> + Send + Sync),
    ) -> Result<Written, Status> {
        let _allocating = match (kind.kind, part) {
            ("Service", Part::Main) => Some(self.allocation.lock().await),
            _ => None,
        };
        for _ in 0..ATTEMPTS {
            let Some((old, revision)) = self.find(kind, key)? else {
                return Err(Status::not_found(kind, &key.name));
            };
            let mut new = change(&old)?;
            let said = meta::field(&new, "resourceVersion").to_owned();
            if !said.is_empty() && said != meta::field(&old, "resourceVersion") {
                return Err(Status::modified(kind, &key.name));
            }
            keep_identity(kind, key, part, &old, &mut new)?;
            let admitted = self.admit_update(kind, part, &old, new)?;
            let mut new = admitted.object;
            count_generation(kind, &old, &mut new);
            meta::set_field(&mut new, "resourceVersion", meta::field(&old, "resourceVersion"));
            if new == old {
                return Ok(Written { object: old, warnings: admitted.warnings });
            }
            let expect = Expect::At(revision);
            if is_finished(&new) {
                if self.take(kind, key, revision, mode).await? {
                    return Ok(Written { object: new, warnings: admitted.warnings });
                }
            } else if let Some(object) = self.put(kind, key, new, expect, mode).await? {
                return Ok(Written { object, warnings: admitted.warnings });
            }
            if !said.is_empty() {
                return Err(Status::modified(kind, &key.name));
            }
        }
        Err(Status::modified(kind, &key.name))
    }
}

/// `metadata.generation` counts the versions of what is wanted; of a Deployment also its annotations, which its
/// ReplicaSets inherit.
fn count_generation(kind: &'static Kind, old: &Value, new: &mut Value) {
    let generation = meta::at(old, &["metadata", "generation"]);
    let Some(before) = generation.as_i64() else { return };
    let annotations = ["metadata", "annotations"];
    let wanted = meta::at(old, &["spec"]) != meta::at(new, &["spec"])
        || (kind == Kind::DEPLOYMENT && meta::at(old, &annotations) != meta::at(new, &annotations));
    if wanted && meta::at(new, &["metadata", "generation"]) == generation {
        meta::metadata(new).insert("generation".to_owned(), Value::from(before + 1));
    }
}

/// An object whose deletion only waited for its finalizers.
fn is_finished(object: &Value) -> bool {
    meta::is_deleting(object)
        && meta::finalizers(object).is_empty()
        && meta::at(object, &["metadata", "deletionGracePeriodSeconds"]).as_i64().unwrap_or(0) == 0
        && meta::at(object, &["spec", "finalizers"]).as_array().is_none_or(Vec::is_empty)
}

/// Name, uid and times of an object cannot be changed by a write.
fn keep_identity(
    kind: &'static Kind,
    key: &ObjectKey,
    part: Part,
    old: &Value,
    new: &mut Value,
) -> Result<(), Status> {
    meta::set_type(new, kind);
    for (field, expected) in [("name", &key.name), ("namespace", &key.namespace)] {
        let said = meta::field(new, field);
        if !said.is_empty() && said != expected {
            return Err(Status::bad_request(format!(
                "the {field} of the object ({said}) does not match the {field} on the URL ({expected})"
            )));
        }
        meta::set_field(new, field, expected);
    }
    let said = meta::field(new, "uid");
    if !said.is_empty() && said != meta::field(old, "uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {said}, UID in object meta: {}",
            meta::field(old, "uid")
        );
        return Err(Status::conflict(kind, &key.name, &why));
    }
    for field in ["uid", "creationTimestamp", "deletionTimestamp"] {
        meta::set_field(new, field, meta::field(old, field));
    }
    let metadata = meta::metadata(new);
    metadata.remove("selfLink");
    metadata.remove("managedFields");
    // The hub's own controllers end the grace of a pod of which nothing is left on its node.
    let own: &[&str] =
        if part == Part::Whole { &["generation"] } else { &["deletionGracePeriodSeconds", "generation"] };
    for field in own {
        match meta::at(old, &["metadata", *field]) {
            Value::Null => metadata.remove(*field),
            kept => metadata.insert((*field).to_owned(), kept.clone()),
        };
    }
    Ok(())
}
