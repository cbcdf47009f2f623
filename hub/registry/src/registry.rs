//! The registry, opened.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use gannet_protocols_model::{Digest, ImageReference};

use crate::api;
use crate::api_error::ApiError;
use crate::layout::{Layout, LayoutError};
use crate::route::Version;
use crate::uploads::Uploads;

/// Bounds of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryOptions {
    /// The largest blob.
    pub max_blob_bytes: u64,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { max_blob_bytes: 8 << 30 }
    }
}

/// A registry over a folder. Clones share it.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    uploads: Uploads,
    options: RegistryOptions,
}

impl Registry {
    /// Opens or makes a registry; uploads that were not finished are forgotten.
    pub fn open(dir: &Path) -> Result<Self, LayoutError> {
        Self::open_with(dir, RegistryOptions::default())
    }

    /// As [`Registry::open`], with these bounds.
    pub fn open_with(dir: &Path, options: RegistryOptions) -> Result<Self, LayoutError> {
        let layout = Layout::open(dir)?;
        Ok(Self { inner: Arc::new(Inner { layout, uploads: Uploads::default(), options }) })
    }

    /// The endpoints, all under `/v2`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v2", any(api::handle))
            .route("/v2/", any(api::handle))
            .route("/v2/{*rest}", any(api::handle))
            .with_state(self.clone())
    }

    /// The digest that a name means now, whatever its host; `None` where the registry does not have it. Waits for the disk.
    pub fn resolve(&self, reference: &ImageReference) -> Option<Digest> {
        let version = match reference.digest() {
            Some(digest) => Version::Digest(digest),
            None => Version::Tag(reference.tag()?.to_owned()),
        };
        let found = self.layout().find(reference.path(), &version);
        found
            .inspect_err(|error| tracing::warn!(%error, image = %reference, "cannot look up image"))
            .ok()?
            .map(|s| s.digest)
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn uploads(&self) -> &Uploads {
        &self.inner.uploads
    }

    pub(crate) fn options(&self) -> RegistryOptions {
        self.inner.options
    }

    /// Runs work that waits for the disk.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Layout) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let registry = self.clone();
        let done = tokio::task::spawn_blocking(move || work(registry.layout())).await;
        Ok(done.unwrap_or_else(|error| Err(std::io::Error::other(error)))?)
    }
}
