//! The built-in image registry: the OCI distribution specification over a folder.
//!
//! - In: HTTP requests under `/v2/`, from skopeo, docker, podman, our own agents. Who may connect, and by which TLS, is the
//!   business of whoever serves [`Registry::router`].
//! - Out: blobs and manifests; [`Registry::resolve`] tells the hub which digest a tag means now.
//! - Invariants: what was acknowledged is on disk, under the digest that it has; a tag leads to a manifest whose blobs were
//!   all there when it was put; an upload that breaks off leaves nothing after an hour or a restart.

#![forbid(unsafe_code)]

mod api;
mod api_error;
mod blobs;
mod layout;
mod listing;
mod manifests;
mod range;
mod registry;
mod route;
mod uploads;

pub use layout::LayoutError;
pub use registry::{Registry, RegistryOptions};
