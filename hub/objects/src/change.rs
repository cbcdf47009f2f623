//! Carrying out what the hub's controllers want.

use gannet_hub_core::Change;
use serde_json::Value;

use crate::delete::DeleteOptions;
use crate::meta;
use crate::modify::Part;
use crate::objects::{Objects, WriteMode};
use crate::status::Status;

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The world is as the controller wanted it.
    Done,
    /// The world had moved on; the controller decides anew when it has seen that.
    Stale,
}

impl Objects {
    /// Carries out one change. What the world has overtaken (a conflict, an object that exists or is gone) is no error.
    pub async fn apply(&self, change: Change) -> Result<Applied, Status> {
        let result = match change {
            Change::Create { kind, object } => {
                let namespace = meta::field(&object, "namespace").to_owned();
                self.create_with_uid(kind, &namespace, object, WriteMode::Commit).await.map(drop)
            }
            Change::Update { kind, object } => {
                let key = meta::key(&object);
                let wanted = |_: &Value| Ok(object.clone());
                self.modify(kind, &key, Part::Whole, WriteMode::Commit, &wanted).await.map(drop)
            }
            Change::Delete { kind, key, precondition } => {
                let options = DeleteOptions { precondition, ..DeleteOptions::default() };
                self.delete(kind, &key, &options).await.map(drop)
            }
            Change::Remove { kind, key, precondition } => {
                self.remove(kind, &key, &precondition).await.map(drop)
            }
            Change::Event { kind, key, uid, warning, reason, message, component, at } => {
                let about = crate::event::About { kind, key, uid, warning, reason, message, component, at };
                self.record(&about).await
            }
        };
        match result {
            Ok(()) => Ok(Applied::Done),
            Err(status) if matches!(status.reason, "Conflict" | "AlreadyExists" | "NotFound") => {
                Ok(Applied::Stale)
            }
            Err(status) => Err(status),
        }
    }
}
