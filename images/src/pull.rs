//! An image, from its name to unpacked layers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};

use gannet_protocols_model::{Digest, ImageReference, PullPolicy};

use crate::config::{ConfigDocument, ConfigError, MAX_CONFIG_BYTES};
use crate::layer::decompress::Budget;
use crate::layer::unpack::unpack;
use crate::remote::candidates::candidates;
use crate::remote::client::{Client, ClientError, Failure};
use crate::remote::fetch::{FetchError, fetch};
use crate::store::inflight::Pin;
use crate::store::records::Record;
use crate::{
    Candidate, Descriptor, Document, Image, ImageManifest, ImageStore, PullError, RegistryConfig, StoreError,
    UnpackError,
};

/// An index may name indexes; deeper than this none does.
const MAX_INDEX_DEPTH: u32 = 3;
/// Layers of one image at a time; the store bounds them over all images.
const PARALLEL_LAYERS: usize = 3;

/// An image that is here now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// How it came.
    pub source: Source,
}

/// How an image came to be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was here.
    Present,
    /// It was here, and the registry that should have been asked did not answer.
    PresentUnchecked {
        /// What went wrong with the registry.
        reason: String,
    },
    /// From a registry, where some or all layers were here.
    Registry {
        /// The registry's `host[:port]`.
        host: String,
    },
}

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A registry is asked.
    Asking {
        /// The registry's `host[:port]`.
        host: String,
    },
    /// The registry has the image.
    Found {
        /// How many layers are missing here.
        missing: usize,
        /// Their compressed bytes.
        bytes: u64,
    },
    /// A layer comes.
    Layer {
        /// The compressed layer.
        digest: Digest,
        /// Bytes that are here.
        done: u64,
        /// Bytes of the whole.
        total: u64,
    },
    /// A layer came and is being unpacked.
    Unpacking {
        /// The compressed layer.
        digest: Digest,
    },
    /// A layer is ready.
    Ready {
        /// The compressed layer.
        digest: Digest,
    },
}

/// What one pull works with.
struct Job<'a> {
    store: &'a ImageStore,
    reference: &'a ImageReference,
    registries: &'a RegistryConfig,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
}

/// A manifest that was found, its configuration read.
struct Resolved {
    client: Client,
    host: String,
    record: Record,
    manifest: ImageManifest,
    layers: Vec<Digest>,
    _pin: Pin,
}

impl ImageStore {
    /// Makes sure that an image is here, as the policy says, and tells how far it is.
    ///
    /// May be dropped at any await: what came is kept and continued by the next pull. The image stays for as long as
    /// [`ImageStore::remove_unused`] is told that its digest is in use.
    pub async fn pull(
        &self,
        reference: &ImageReference,
        policy: PullPolicy,
        registries: &RegistryConfig,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Pulled, PullError> {
        let present = self
            .blocking(reference, {
                let reference = reference.clone();
                move |store| Ok(store.get(&reference))
            })
            .await?;
        // A digest leads to the same image for ever: there is nothing to ask.
        let settled = policy != PullPolicy::Always || reference.digest().is_some();
        let present = match (present, policy) {
            (Some(image), _) if settled => return Ok(Pulled { image, source: Source::Present }),
            (None, PullPolicy::Never) => {
                return Err(PullError::NeverPulled { reference: reference.to_string() });
            }
            (present, _) => present,
        };
        let job = Job { store: self, reference, registries, progress };
        match (job.run().await, present) {
            (Ok(pulled), _) => Ok(pulled),
            (Err(error), Some(image)) if error.is_unreachable() => {
                Ok(Pulled { image, source: Source::PresentUnchecked { reason: error.message() } })
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        reference: &ImageReference,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PullError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let done =
            done.unwrap_or_else(|e| Err(StoreError::io(&self.folder(""), "use")(std::io::Error::other(e))));
        done.map_err(|source| PullError::Store { reference: reference.to_string(), source })
    }
}

impl Job<'_> {
    async fn run(&self) -> Result<Pulled, PullError> {
        let Resolved { client, host, record, manifest, layers, _pin } = self.resolve().await?;
        let blobs = manifest.layers.iter().map(|layer| layer.digest);
        let _layers_pin = self.store.inflight().pin(layers.iter().copied().chain(blobs));
        let limits = self.store.limits();
        let budget = Arc::new(Budget::new(limits.unpacked_bytes, limits.entries));
        // A layer may be in an image twice.
        let unique: BTreeMap<Digest, &Descriptor> = layers.iter().copied().zip(&manifest.layers).collect();
        let missing: Vec<(Digest, &Descriptor)> =
            unique.into_iter().filter(|(diff_id, _)| !self.store.layer_path(diff_id).is_dir()).collect();
        for (_, layer) in &missing {
            if layer.size > limits.layer_bytes {
                let (digest, size, limit) = (layer.digest, layer.size, limits.layer_bytes);
                return Err(PullError::LayerSize {
                    reference: self.reference.to_string(),
                    digest,
                    size,
                    limit,
                });
            }
        }
        let bytes = missing.iter().map(|(_, layer)| layer.size).sum();
        (self.progress)(Progress::Found { missing: missing.len(), bytes });
        // Collected: a closure in the stream's type would keep the whole future from being `Send` in general.
        let work: Vec<_> = missing
            .into_iter()
            .map(|(diff_id, layer)| self.layer(&client, layer, diff_id, &budget))
            .collect();
        futures::stream::iter(work).buffer_unordered(PARALLEL_LAYERS).try_collect::<()>().await?;
        let reference = self.reference.clone();
        let image = self.store.blocking(self.reference, move |store| {
            store.record(&reference, record)?;
            Ok(store.load(record))
        });
        let image = image.await?.ok_or_else(|| {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            PullError::Store {
                reference: self.reference.to_string(),
                source: StoreError::io(&self.store.blob_path(&record.manifest), "read back")(gone),
            }
        })?;
        Ok(Pulled { image, source: Source::Registry { host } })
    }

    /// Asks the registries in order. The next is asked only where one says that it has no such image.
    async fn resolve(&self) -> Result<Resolved, PullError> {
        let mut tried = Vec::new();
        for candidate in candidates(self.reference, self.registries) {
            (self.progress)(Progress::Asking { host: candidate.registry.host.clone() });
            match self.ask(&candidate).await {
                Ok(resolved) => return Ok(resolved),
                Err(PullError::Registry { tried: failed, .. }) => {
                    let is_last =
                        !failed.iter().all(|error| matches!(error.failure, Failure::NotFound { .. }));
                    tried.extend(failed);
                    if is_last {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        match tried.is_empty() {
            true => Err(PullError::NoRegistry { reference: self.reference.to_string() }),
            false => Err(PullError::Registry { reference: self.reference.to_string(), tried }),
        }
    }

    async fn ask(&self, candidate: &Candidate) -> Result<Resolved, PullError> {
        let client = Client::new(candidate, "pull").map_err(|e| self.registry(e))?;
        let mut version = candidate.version.clone();
        let mut top = None;
        for _ in 0..=MAX_INDEX_DEPTH {
            let bytes = client.manifest(&version).await.map_err(|e| self.registry(e))?;
            let digest = Digest::of(&bytes);
            let at = || format!("{}/{}@{version}", candidate.registry.host, candidate.repository);
            if version.contains(':') && version != digest.to_string() {
                let reason = format!("manifest came with other content: its digest is {digest}");
                return Err(self.registry(ClientError { subject: at(), failure: Failure::protocol(reason) }));
            }
            let wrong =
                |source| PullError::Manifest { reference: self.reference.to_string(), at: at(), source };
            let document = Document::parse(&bytes).map_err(wrong)?;
            let named = *top.get_or_insert(digest);
            match document {
                Document::Index(index) => version = self.choose(&index.manifests)?.to_string(),
                Document::Manifest(manifest) => {
                    manifest.check_is_image().map_err(wrong)?;
                    let record = Record { digest: named, manifest: digest };
                    let _pin = self.store.inflight().pin([record.manifest, manifest.config.digest]);
                    let layers = self.documents(&client, record, bytes, &manifest).await?;
                    return Ok(Resolved {
                        client,
                        host: candidate.registry.host.clone(),
                        record,
                        manifest,
                        layers,
                        _pin,
                    });
                }
            }
        }
        let reason = format!("indexes lie in each other more than {MAX_INDEX_DEPTH} deep");
        Err(self.registry(ClientError { subject: candidate.to_string(), failure: Failure::protocol(reason) }))
    }

    fn choose(&self, images: &[Descriptor]) -> Result<Digest, PullError> {
        let platform = &self.registries.platform;
        let with_platform =
            || images.iter().filter_map(|image| Some((image.platform.as_ref()?, image.digest)));
        // An index of one image without a platform is how some tools wrap an image.
        let only = match images {
            [one] if one.platform.is_none() => Some(one.digest),
            _ => None,
        };
        platform.choose(with_platform()).or(only).ok_or_else(|| PullError::Platform {
            reference: self.reference.to_string(),
            platform: platform.clone(),
            available: with_platform().map(|(p, _)| p.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Stores manifest and configuration, which are pinned; returns the layers' digests.
    async fn documents(
        &self,
        client: &Client,
        record: Record,
        bytes: Vec<u8>,
        manifest: &ImageManifest,
    ) -> Result<Vec<Digest>, PullError> {
        let wrong = |source| PullError::Config { reference: self.reference.to_string(), source };
        if manifest.config.size > MAX_CONFIG_BYTES {
            let reason = format!("{} bytes, more than {MAX_CONFIG_BYTES}", manifest.config.size);
            return Err(wrong(ConfigError::Form { reason }));
        }
        let config = manifest.config.digest;
        let turn = self.store.inflight().turn(&config);
        let guard = turn.lock().await;
        fetch(self.store, client, &manifest.config, &|_| ())
            .await
            .map_err(|e| self.fetch_error(&manifest.config, e))?;
        drop(guard);
        let read = self.store.blocking(self.reference, move |store| {
            store.write_blob(&record.manifest, &bytes)?;
            Ok(store.read_blob(&config, MAX_CONFIG_BYTES))
        });
        let config = read.await?.unwrap_or_default();
        Ok(ConfigDocument::parse(&config, manifest.layers.len()).map_err(wrong)?.diff_ids)
    }

    /// Fetches and unpacks a layer, unless somebody else just did.
    async fn layer(
        &self,
        client: &Client,
        layer: &Descriptor,
        diff_id: Digest,
        budget: &Arc<Budget>,
    ) -> Result<(), PullError> {
        let turn = self.store.inflight().turn(&diff_id);
        let _turn = turn.lock().await;
        let target = self.store.layer_path(&diff_id);
        let digest = layer.digest;
        if !target.is_dir() {
            // Closed never: the store owns it.
            let _slot = self.store.slots().acquire().await;
            let total = layer.size;
            let report = |done| (self.progress)(Progress::Layer { digest, done, total });
            let blob =
                fetch(self.store, client, layer, &report).await.map_err(|e| self.fetch_error(layer, e))?;
            (self.progress)(Progress::Unpacking { digest });
            let (store, budget) = (self.store.clone(), Arc::clone(budget));
            let done =
                tokio::task::spawn_blocking(move || unpack_into(&store, &blob, &target, &diff_id, &budget))
                    .await;
            done.unwrap_or_else(|e| Err(UnpackError::archive(std::io::Error::other(e)))).map_err(
                |source| PullError::Layer {
                    reference: self.reference.to_string(),
                    digest,
                    source: Box::new(source),
                },
            )?;
        }
        (self.progress)(Progress::Ready { digest });
        Ok(())
    }

    fn registry(&self, error: ClientError) -> PullError {
        PullError::Registry { reference: self.reference.to_string(), tried: vec![error] }
    }

    fn fetch_error(&self, blob: &Descriptor, error: FetchError) -> PullError {
        match error {
            FetchError::Registry(failure) => {
                self.registry(ClientError { subject: format!("blob {}", blob.digest), failure })
            }
            FetchError::Store(source) => PullError::Store { reference: self.reference.to_string(), source },
        }
    }
}

/// Unpacks under `tmp/` and gives the folder its name once it is whole and on disk. The compressed layer is not needed
/// any more then; a damaged one is removed too, so that it is fetched again.
fn unpack_into(
    store: &ImageStore,
    blob: &Path,
    target: &Path,
    diff_id: &Digest,
    budget: &Budget,
) -> Result<(), UnpackError> {
    let temporary = store.temporary();
    let unpacked = unpack(blob, &temporary, diff_id, budget, store.limits());
    let published = unpacked.and_then(|listing| {
        store
            .keep_listing(diff_id, &listing)
            .and_then(|()| crate::store::atomic::publish(&temporary, target))
            .map_err(|source| UnpackError::Write { path: "/".into(), source })
    });
    if published.is_err() {
        // What cannot be removed now is removed at the next start.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    let _ = std::fs::remove_file(blob);
    published
}
