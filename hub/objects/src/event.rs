//! Events: repeated ones are counted, old ones removed.

use std::time::Duration;

use gannet_hub_core::{Kind, ObjectKey, Precondition};
use gannet_protocols_model::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::meta;
use crate::modify::Part;
use crate::objects::{Objects, WriteMode};
use crate::status::Status;

/// How long an event is kept after it was last seen, as in Kubernetes.
pub const EVENT_LIFE: Duration = Duration::from_secs(3600);
/// A controller that says the same thing at every turn must not fill the log: within this time it is one event.
const SAME: Duration = Duration::from_secs(5);
/// Longest message kept, as in Kubernetes.
const MAX_MESSAGE: usize = 1024;

/// Something that happened to an object.
pub(crate) struct About {
    pub(crate) kind: &'static Kind,
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
    pub(crate) warning: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) component: &'static str,
    /// When it happened, where that is not now.
    pub(crate) at: Option<Timestamp>,
}

impl Objects {
    /// Records an event, or counts it when it is known already.
    pub(crate) async fn record(&self, about: &About) -> Result<(), Status> {
        let namespace = if about.key.namespace.is_empty() { "default" } else { &about.key.namespace };
        let key = ObjectKey::new(namespace, &about.event_name());
        // A node's clock may be wrong, and what it tells of may be long past; but nothing happens later than now.
        let now = self.now();
        let now = about.at.map_or(now, |at| at.min(now));
        if let Some((event, _)) = self.find(Kind::EVENT, &key)? {
            if last_seen(&event).is_some_and(|seen| now.since(seen) < SAME) {
                return Ok(());
            }
            let again = |event: &Value| {
                let mut event = event.clone();
                let count = meta::at(&event, &["count"]).as_i64().unwrap_or(1).saturating_add(1);
                event["count"] = Value::from(count);
                event["lastTimestamp"] = Value::from(now.to_string());
                Ok(event)
            };
            return self.modify(Kind::EVENT, &key, Part::Whole, WriteMode::Commit, &again).await.map(drop);
        }
        self.create(Kind::EVENT, namespace, about.event(&key, now), WriteMode::Commit).await.map(drop)
    }

    /// Removes events that were last seen longer ago than [`EVENT_LIFE`]. Gives how many.
    pub async fn prune_events(&self) -> Result<usize, Status> {
        let now = self.now();
        let mut pruned = 0;
        for stored in self.storage.list(Kind::EVENT, None, None, usize::MAX)?.items {
            let Ok(event) = meta::decode(&stored.value, stored.revision) else { continue };
            // One that a node told of late is kept as long as any other.
            let made = meta::field(&event, "creationTimestamp").parse().ok();
            if last_seen(&event).max(made).is_none_or(|seen| now.since(seen) > EVENT_LIFE) {
                let same = Precondition {
                    resource_version: Some(stored.revision.to_string()),
                    ..Precondition::default()
                };
                match self.remove(Kind::EVENT, &stored.key, &same).await {
                    Ok(_) => pruned += 1,
                    Err(status) if matches!(status.reason, "Conflict" | "NotFound") => {}
                    Err(status) => return Err(status),
                }
            }
        }
        Ok(pruned)
    }
}

fn last_seen(event: &Value) -> Option<Timestamp> {
    ["lastTimestamp", "eventTime", "firstTimestamp"]
        .iter()
        .map(|field| meta::text(event, &[field]))
        .chain([meta::field(event, "creationTimestamp")])
        .find_map(|time| time.parse().ok())
}

impl About {
    /// The same for the same event: the object's name and a digest of all that makes an event another one.
    fn event_name(&self) -> String {
        let mut hash = Sha256::new();
        for part in [self.kind.kind, &self.uid, &self.reason, &self.message, self.component] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest = hex::encode(&hash.finalize()[..8]);
        // A name has at most 253 characters.
        let name: String = self.key.name.chars().take(236).collect();
        format!("{name}.{digest}")
    }

    fn event(&self, key: &ObjectKey, now: Timestamp) -> Value {
        let message: String = self.message.chars().take(MAX_MESSAGE).collect();
        let now = now.to_string();
        let mut involved = json!({
            "apiVersion": self.kind.api_version(), "kind": self.kind.kind, "name": self.key.name, "uid": self.uid,
        });
        if !self.key.namespace.is_empty() {
            involved["namespace"] = Value::from(self.key.namespace.as_str());
        }
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": key.name, "namespace": key.namespace},
            "involvedObject": involved,
            "type": if self.warning { "Warning" } else { "Normal" },
            "reason": self.reason, "message": message,
            "source": {"component": self.component}, "reportingComponent": self.component, "reportingInstance": "",
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        })
    }
}
