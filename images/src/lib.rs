//! OCI images: pulled from distribution registries, kept on disk by content, unpacked once a layer, mounted by overlayfs.
//!
//! - In: an [`gannet_protocols_model::ImageReference`], a [`RegistryConfig`], a folder. All that comes from a registry is
//!   hostile: bounded, checked by digest, and unpacked so that no entry of a layer can touch anything outside its folder.
//! - Out: an [`Image`] (its configuration and layers) and, through [`mount_rootfs`] or [`mount_mapped_rootfs`], a root file system.
//! - Invariants: what lies under `blobs/` and `layers/` is whole, whatever moment the power went; a layer exists once,
//!   however many images share it; a reference points only to images that were complete when it was written.
//!
//! The registry client is thin and our own: the crates that exist take no client certificate and no TLS configuration, do
//! not bound what they read, and cannot continue a layer that broke off.

#![forbid(unsafe_code)]

mod config;
mod layer;
mod manifest;
mod mapped;
mod overlay;
mod pack;
mod platform;
mod pull;
mod pull_error;
mod remote;
mod store;

pub use config::{ConfigError, ImageConfig};
pub use layer::unpack::UnpackError;
pub use manifest::{
    Descriptor, Document, DocumentError, ImageManifest, Index, MAX_LAYERS, MAX_MANIFEST_BYTES, media,
};
pub use mapped::{MappedUsers, mount_mapped_rootfs, try_mapped};
pub use overlay::{MountError, mount_rootfs, unmount};
pub use pack::{PackConfig, PackFile, Packed, pack};
pub use platform::Platform;
pub use pull::{Progress, Pulled, Source};
pub use pull_error::PullError;
pub use remote::candidates::Candidate;
pub use remote::client::{ClientError, Failure};
pub use remote::push::{PushError, push};
pub use remote::registry::{ClientIdentity, Credentials, Registry, RegistryConfig, Scheme};
pub use store::atomic;
pub use store::gc::Removed;
pub use store::image_store::{Image, ImageStore, Limits, StoreError};
