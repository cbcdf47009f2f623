//! One blob from a registry to disk: streamed, continued where an earlier try broke off, checked.

use std::io;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use sha2::Digest as _;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt as _, BufWriter};

use gannet_protocols_model::Digest;

use crate::remote::client::{Backoff, Client, Failure};
use crate::store::atomic;
use crate::{Descriptor, ImageStore, StoreError};

/// Bytes that wait in memory for the disk, a layer.
const BUFFER: usize = 128 << 10;

/// Why a blob did not come.
#[derive(Debug)]
pub(crate) enum FetchError {
    Registry(Failure),
    Store(StoreError),
}

/// Fetches a blob into the store; `report` is told how many of its bytes are here.
pub(crate) async fn fetch(
    store: &ImageStore,
    client: &Client,
    blob: &Descriptor,
    report: &(dyn Fn(u64) + Send + Sync),
) -> Result<PathBuf, FetchError> {
    let target = store.blob_path(&blob.digest);
    if tokio::fs::metadata(&target).await.is_ok_and(|m| m.len() == blob.size) {
        report(blob.size);
        return Ok(target);
    }
    let partial = store.partial_path(&blob.digest);
    let mut backoff = Backoff::default();
    loop {
        match continue_at(client, blob, &partial, report).await {
            Ok(()) => break,
            Err(FetchError::Registry(failure)) if backoff.again(&failure).await => {
                tracing::debug!(blob = %blob.digest, %failure, "layer broke off, trying again");
            }
            Err(error) => return Err(error),
        }
    }
    atomic_publish(partial, target).await
}

async fn atomic_publish(partial: PathBuf, target: PathBuf) -> Result<PathBuf, FetchError> {
    let path = target.clone();
    let moved = tokio::task::spawn_blocking(move || atomic::publish(&partial, &target)).await;
    moved
        .unwrap_or_else(|e| Err(io::Error::other(e)))
        .map_err(|e| FetchError::Store(StoreError::io(&path, "write")(e)))?;
    Ok(path)
}

/// One try. The partial file is complete, checked and on disk where it succeeds.
async fn continue_at(
    client: &Client,
    blob: &Descriptor,
    partial: &Path,
    report: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), FetchError> {
    let store = |action| {
        let partial = partial.to_owned();
        move |e| FetchError::Store(StoreError::io(&partial, action)(e))
    };
    let (mut hash, mut have) = hash_so_far(partial.to_owned()).await.map_err(store("read"))?;
    let file = OpenOptions::new().create(true).append(true).open(partial).await.map_err(store("write"))?;
    if have > blob.size {
        (hash, have) = restart(&file).await.map_err(store("write"))?;
    }
    let mut file = BufWriter::with_capacity(BUFFER, file);
    if have < blob.size {
        let mut response = client.blob(&blob.digest, have).await.map_err(FetchError::Registry)?;
        if have > 0 && !continues_at(&response, have) {
            (hash, have) = restart(file.get_ref()).await.map_err(store("write"))?;
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                response = client.blob(&blob.digest, 0).await.map_err(FetchError::Registry)?;
            }
        }
        report(have);
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    // What came is kept for the next try.
                    file.flush().await.map_err(store("write"))?;
                    return Err(FetchError::Registry(crate::remote::client::unreachable(error)));
                }
            };
            have += chunk.len() as u64;
            if have > blob.size {
                discard(partial).await;
                let reason = format!(
                    "blob {} has more than the {} bytes that the manifest says",
                    blob.digest, blob.size
                );
                return Err(FetchError::Registry(Failure::protocol(reason)));
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(store("write"))?;
            report(have);
        }
    }
    file.flush().await.map_err(store("write"))?;
    if have < blob.size {
        let reason = format!("blob {} broke off after {have} of {} bytes", blob.digest, blob.size);
        return Err(FetchError::Registry(Failure::Unreachable { reason }));
    }
    let found = Digest::from_sha256(hash.finalize().into());
    if found != blob.digest {
        discard(partial).await;
        let reason = format!("blob {} came with other content: its digest is {found}", blob.digest);
        return Err(FetchError::Registry(Failure::protocol(reason)));
    }
    file.get_ref().sync_all().await.map_err(store("write"))
}

/// Whether the answer is the rest of the blob from this byte on.
fn continues_at(response: &reqwest::Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|h| h.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|r| r.starts_with(&format!("bytes {from}-")))
}

async fn restart(file: &File) -> io::Result<(sha2::Sha256, u64)> {
    file.set_len(0).await?;
    Ok((sha2::Sha256::new(), 0))
}

/// Removes content that cannot be continued. Failing to is harmless: it is found to be wrong again.
async fn discard(partial: &Path) {
    let _ = tokio::fs::remove_file(partial).await;
}

/// Hashes what an earlier try left.
async fn hash_so_far(partial: PathBuf) -> io::Result<(sha2::Sha256, u64)> {
    let work = move || {
        let mut hash = sha2::Sha256::new();
        match std::fs::File::open(&partial) {
            Ok(mut file) => io::copy(&mut file, &mut hash).map(|have| (hash, have)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((hash, 0)),
            Err(e) => Err(e),
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}
