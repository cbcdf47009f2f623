//! What a controller wants changed. The shell turns it into one compare-and-set transaction a change.

use gannet_protocols_model::Timestamp;
use serde_json::Value;

use crate::Kind;
use crate::ObjectKey;

/// A wanted change of one object. A change that meets a conflict is dropped: its controller reads the world again.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Create this object; the shell stamps uid and creation time where they are missing. Existing is fine.
    Create {
        /// Its kind.
        kind: &'static Kind,
        /// The whole object.
        object: Value,
    },
    /// Replace the object, if it still is at the revision in its `metadata.resourceVersion`.
    Update {
        /// Its kind.
        kind: &'static Kind,
        /// The whole object, with the resourceVersion that the decision was based on.
        object: Value,
    },
    /// Begin the deletion of an object as an API client would: grace period, finalizers and all.
    Delete {
        /// Its kind.
        kind: &'static Kind,
        /// Which object.
        key: ObjectKey,
        /// Only if it still is that one.
        precondition: Precondition,
    },
    /// Remove an object at once, whatever its grace period: its node has reported that nothing of it is left, or its
    /// node is gone.
    Remove {
        /// Its kind.
        kind: &'static Kind,
        /// Which object.
        key: ObjectKey,
        /// Only if it still is that one.
        precondition: Precondition,
    },
    /// Record an event; the shell counts repeated ones instead of piling them up.
    Event {
        /// The object that it is about.
        kind: &'static Kind,
        /// Which object.
        key: ObjectKey,
        /// Its uid.
        uid: String,
        /// `Normal` or `Warning`.
        warning: bool,
        /// In one word.
        reason: String,
        /// In a sentence.
        message: String,
        /// Which controller speaks.
        component: &'static str,
        /// When it happened, by a node's clock; now where there is none.
        at: Option<Timestamp>,
    },
}

/// Which object exactly is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precondition {
    /// Only the object with this uid.
    pub uid: Option<String>,
    /// Only at this revision.
    pub resource_version: Option<String>,
}
