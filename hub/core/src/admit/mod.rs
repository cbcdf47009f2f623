//! What a client writes: defaults filled in, then checked, with Kubernetes' defaults and in Kubernetes' words.
//!
//! In: the world, the time, the object as the client sent it (unknown fields already pruned and types checked by the
//! schema). Out: the object to store and warnings for the client, or why it is refused. Nothing panics on any JSON.
//!
//! The caller (the API) has set `metadata.namespace` from the URL and `metadata.name` from `generateName`, and stamps the
//! uid. Admission stamps `creationTimestamp` and keeps `generation`; a create or update of the main resource leaves
//! `status` to [`admit_status`].
//!
//! - `defaults`, `allocate`: what is filled in
//! - `meta`, `pod`, `workload`, `service`, `data`, `cluster`, …: what is checked
//! - `unsupported`, `honoured`: what Kubernetes has and gannet does not, refused or warned about by name

mod admission;
mod allocate;
mod at;
mod cluster;
mod data;
mod defaults;
mod error;
mod honoured;
mod meta;
mod names;
mod pod;
mod quantity;
mod selector;
mod service;
mod unsupported;
mod workload;

pub use admission::{AdmitContext, Admitted, admit_create, admit_resize, admit_status, admit_update};
pub use error::{FieldError, FieldErrorKind, Rejected};
pub(crate) use pod::priority_of_class;

#[cfg(test)]
#[path = "admit_test.rs"]
mod tests;
