//! The objects: reading them, and what every write has in common.

use std::fmt;
use std::sync::Arc;

use gannet_hub_core::{Kind, ObjectKey};
use gannet_protocols_model::Timestamp;
use serde_json::Value;

use crate::meta;
use crate::status::Status;
use crate::storage::{Committed, Expect, Storage, Stored, Write};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Fills a buffer with unpredictable bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What the objects need from the hub beside storage.
#[derive(Clone)]
pub struct Ports {
    /// The time.
    pub clock: Clock,
    /// For uids and generated names.
    pub random: Random,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}

/// Whether a write happens or is only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteMode {
    /// It happens.
    #[default]
    Commit,
    /// `dryRun=All`: admission and all checks, but nothing is stored.
    DryRun,
}

/// What a write left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The object as a client sees it.
    pub object: Value,
    /// For `Warning:` headers.
    pub warnings: Vec<String>,
}

/// All stored objects. Cheap to share; every method may run at any time on any task.
#[derive(Debug)]
pub struct Objects {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) ports: Ports,
    /// Held from reading the addresses and ports in use until a service is stored, so that two services never get the
    /// same one.
    pub(crate) allocation: tokio::sync::Mutex<()>,
}

impl Objects {
    /// Objects kept in this storage.
    pub fn new(storage: Arc<dyn Storage>, ports: Ports) -> Self {
        Self { storage, ports, allocation: tokio::sync::Mutex::new(()) }
    }

    /// The storage, for lists and watches.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// What tells the time.
    pub fn clock(&self) -> Clock {
        self.ports.clock.clone()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.ports.clock)()
    }

    /// One object, with its resourceVersion.
    pub fn get(&self, kind: &'static Kind, key: &ObjectKey) -> Result<Value, Status> {
        self.find(kind, key)?.map(|(object, _)| object).ok_or_else(|| Status::not_found(kind, &key.name))
    }

    /// One object and its revision, if there is such an object.
    pub(crate) fn find(&self, kind: &'static Kind, key: &ObjectKey) -> Result<Option<(Value, u64)>, Status> {
        self.storage
            .get(kind, key)?
            .map(|stored| decoded(kind, &stored).map(|object| (object, stored.revision)))
            .transpose()
    }

    /// Stores an object under a condition. `None` when the condition does not hold.
    pub(crate) async fn put(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        mut object: Value,
        expect: Expect,
        mode: WriteMode,
    ) -> Result<Option<Value>, Status> {
        if mode == WriteMode::DryRun {
            return Ok(Some(object));
        }
        let value = Some(meta::encode(&object));
        match self.storage.commit(Write { kind, key: key.clone(), value, expect }).await? {
            Committed::Done(revision) => {
                meta::set_field(&mut object, "resourceVersion", &revision.to_string());
                Ok(Some(object))
            }
            Committed::Conflict => Ok(None),
        }
    }

    /// Removes an object at a revision. False when it is at another one.
    pub(crate) async fn take(
        &self,
        kind: &'static Kind,
        key: &ObjectKey,
        revision: u64,
        mode: WriteMode,
    ) -> Result<bool, Status> {
        if mode == WriteMode::DryRun {
            return Ok(true);
        }
        let write = Write { kind, key: key.clone(), value: None, expect: Expect::At(revision) };
        Ok(matches!(self.storage.commit(write).await?, Committed::Done(_)))
    }

    /// A version 4 UUID.
    pub(crate) fn uid(&self) -> String {
        let mut bytes = [0_u8; 16];
        (self.ports.random)(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex = hex::encode(bytes);
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// A stored object as clients see it.
pub(crate) fn decoded(kind: &Kind, stored: &Stored) -> Result<Value, Status> {
    meta::decode(&stored.value, stored.revision).map_err(|e| {
        Status::internal(format!("stored {} {} does not decode: {e}", kind.resource(), stored.key))
    })
}
