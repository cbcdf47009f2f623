//! The way from a client's object to one that may be stored: calls the pure admission with what it needs of the world.

use gannet_hub_core::admit::{self, AdmitContext, Admitted};
use gannet_hub_core::{Kind, World};
use serde_json::Value;

use crate::meta;
use crate::modify::Part;
use crate::objects::Objects;
use crate::status::Status;

impl Objects {
    /// The part of the world that admission reads for this object: its namespace, and for a service all services.
    fn world_of(&self, kind: &'static Kind, object: &Value) -> Result<World, Status> {
        let mut world = World::default();
        let mut take = |kind: &'static Kind, stored: crate::storage::Stored| {
            let value = meta::decode(&stored.value, stored.revision).map(|v| v.to_string().into_bytes());
            // An object that does not decode is left out of every decision (see `WorldError`).
            if let Ok(value) = value
                && let Err(error) = world.apply(kind, &stored.key, Some(&value))
            {
                tracing::warn!(object = %stored.key, %error, "left out of admission");
            }
        };
        if kind.is_namespaced() {
            let key = gannet_hub_core::ObjectKey::new("", meta::field(object, "namespace"));
            if let Some(namespace) = self.storage.get(Kind::NAMESPACE, &key)? {
                take(Kind::NAMESPACE, namespace);
            }
        }
        if kind == Kind::SERVICE {
            for service in self.storage.list(Kind::SERVICE, None, None, usize::MAX)?.items {
                take(Kind::SERVICE, service);
            }
        }
        Ok(world)
    }

    pub(crate) fn admit_create(&self, kind: &'static Kind, object: Value) -> Result<Admitted, Status> {
        let world = self.world_of(kind, &object)?;
        let name = meta::field(&object, "name").to_owned();
        admit::admit_create(AdmitContext { world: &world, now: self.now() }, kind, object)
            .map_err(|rejected| Status::rejected(kind, &name, rejected))
    }

    pub(crate) fn admit_update(
        &self,
        kind: &'static Kind,
        part: Part,
        old: &Value,
        new: Value,
    ) -> Result<Admitted, Status> {
        let world = self.world_of(kind, old)?;
        let cx = AdmitContext { world: &world, now: self.now() };
        match part {
            Part::Main => admit::admit_update(cx, kind, old, new),
            Part::Resize => admit::admit_resize(cx, old, &new),
            Part::Status => admit::admit_status(cx, kind, old, new),
            Part::Whole => Ok(Admitted { object: new, warnings: Vec::new() }),
        }
        .map_err(|rejected| Status::rejected(kind, meta::field(old, "name"), rejected))
    }

    /// Whether `written`, with defaults filled in, wants the same as what is stored.
    pub fn is_same_when_filled(&self, kind: &'static Kind, stored: &Value, written: &Value) -> bool {
        let filled = self.admit_update(kind, Part::Main, stored, written.clone());
        filled.is_ok_and(|filled| filled.object.get("spec") == stored.get("spec"))
    }
}
