//! Deleting an object: at once, after a grace period, or when its finalizers are gone.

use std::time::Duration;

use gannet_hub_core::{Kind, ObjectKey, Precondition};
use serde_json::Value;

use crate::meta;
use crate::objects::{Objects, WriteMode};
use crate::status::Status;
use crate::storage::Expect;

/// Tries of one deletion; between two of them somebody else's write succeeded.
const ATTEMPTS: usize = 10;
/// Kubernetes' `terminationGracePeriodSeconds` where a pod names none.
const DEFAULT_GRACE_SECONDS: i64 = 30;
/// Namespaces that the hub itself needs.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// What becomes of the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// The garbage collector deletes them afterwards.
    #[default]
    Background,
    /// They go first.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

/// How to delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteOptions {
    /// How long a pod may take to stop; none for what the pod itself says.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of owned objects.
    pub propagation: Propagation,
    /// Only this very object.
    pub precondition: Precondition,
    /// Do it, or only try it.
    pub mode: WriteMode,
}

/// How far the deletion got.
#[derive(Debug, Clone, PartialEq)]
pub enum Deleted {
    /// The object is gone; this is what it was.
    Gone(Value),
    /// Its deletion has begun; this is what it is.
    Begun(Value),
}

impl Objects {
    /// Begins the deletion of an object, and ends it where nothing stands in its way.
    pub async fn delete(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        if kind == Kind::NAMESPACE && IMMORTAL.contains(&key.name.as_str()) {
            return Err(Status::forbidden(kind, &key.name, "this namespace may not be deleted"));
        }
        for _ in 0..ATTEMPTS {
            let Some((old, revision)) = self.find(kind, key)? else {
                return Err(Status::not_found(kind, &key.name));
            };
            check_precondition(kind, &key.name, &options.precondition, &old)?;
            let Some(new) = self.begun(kind, &old, options) else {
                if self.take(kind, key, revision, options.mode).await? {
                    return Ok(Deleted::Gone(old));
                }
                continue;
            };
            if new == old {
                return Ok(Deleted::Begun(old));
            }
            if let Some(object) = self.put(kind, key, new, Expect::At(revision), options.mode).await? {
                return Ok(Deleted::Begun(object));
            }
        }
        Err(Status::modified(kind, &key.name))
    }

    /// Removes an object at once, whatever its grace period; its finalizers are respected.
    pub async fn remove(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        precondition: &Precondition,
    ) -> Result<Deleted, Status> {
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            precondition: precondition.clone(),
            ..DeleteOptions::default()
        };
        for _ in 0..ATTEMPTS {
            let Some((old, revision)) = self.find(kind, key)? else {
                return Err(Status::not_found(kind, &key.name));
            };
            check_precondition(kind, &key.name, precondition, &old)?;
            if !meta::finalizers(&old).is_empty() {
                return self.delete(kind, key, &options).await;
            }
            if self.take(kind, key, revision, WriteMode::Commit).await? {
                return Ok(Deleted::Gone(old));
            }
        }
        Err(Status::modified(kind, &key.name))
    }

    /// The object with its deletion begun; none where it can go at once.
    fn begun(&self, kind: &'static Kind, old: &Value, options: &DeleteOptions) -> Option<Value> {
        let mut new = old.clone();
        let finalizer = match options.propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some("foregroundDeletion"),
            Propagation::Orphan => Some("orphan"),
        };
        if let Some(finalizer) = finalizer
            && !meta::is_deleting(old)
            && !meta::finalizers(old).contains(&finalizer)
        {
            let list =
                meta::metadata(&mut new).entry("finalizers").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(Value::from(finalizer));
            }
        }
        let grace = grace_seconds(kind, old, options.grace_period_seconds);
        let namespaced_content = kind == Kind::NAMESPACE
            && !meta::at(&new, &["spec", "finalizers"]).as_array().is_none_or(Vec::is_empty);
        if grace == 0 && meta::finalizers(&new).is_empty() && !namespaced_content {
            return None;
        }
        let said = meta::at(old, &["metadata", "deletionGracePeriodSeconds"]).as_i64();
        if meta::is_deleting(old) && said.is_some_and(|said| said <= grace) {
            return Some(new);
        }
        let end = self.now().plus(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
        meta::set_field(&mut new, "deletionTimestamp", &end.to_string());
        let metadata = meta::metadata(&mut new);
        metadata.insert("deletionGracePeriodSeconds".to_owned(), Value::from(grace));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64)
            && !meta::is_deleting(old)
        {
            metadata.insert("generation".to_owned(), Value::from(generation + 1));
        }
        if kind == Kind::NAMESPACE {
            meta::child(&mut new, "status").insert("phase".to_owned(), Value::from("Terminating"));
        }
        Some(new)
    }
}

/// A pod that runs somewhere is stopped first; all else needs no grace.
fn grace_seconds(kind: &'static Kind, object: &Value, asked: Option<i64>) -> i64 {
    let ended = matches!(meta::text(object, &["status", "phase"]), "Succeeded" | "Failed");
    if kind != Kind::POD || ended || meta::text(object, &["spec", "nodeName"]).is_empty() {
        return 0;
    }
    let own = || meta::at(object, &["spec", "terminationGracePeriodSeconds"]).as_i64();
    asked.or_else(own).unwrap_or(DEFAULT_GRACE_SECONDS).max(0)
}

fn check_precondition(
    kind: &'static Kind,
    name: &str,
    precondition: &Precondition,
    object: &Value,
) -> Result<(), Status> {
    let found = meta::field(object, "uid");
    if let Some(uid) = &precondition.uid
        && uid != found
    {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
        return Err(Status::conflict(kind, name, &why));
    }
    let found = meta::field(object, "resourceVersion");
    if let Some(version) = &precondition.resource_version
        && version != found
    {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {found}"
        );
        return Err(Status::conflict(kind, name, &why));
    }
    Ok(())
}
