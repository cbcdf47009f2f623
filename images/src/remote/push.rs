//! A packed image to a registry.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};

use gannet_protocols_model::{Digest, ImageReference};

use crate::remote::candidates::at;
use crate::remote::client::{Backoff, Client, ClientError, Failure, ok};
use crate::{Packed, Registry, media};

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
#[error("failed to push image {reference:?}: {cause}", reference = reference.to_string())]
pub struct PushError {
    /// The image.
    pub reference: ImageReference,
    /// What went wrong.
    pub cause: ClientError,
}

/// Pushes an image under the reference's tag and returns its digest. Blobs that the registry has are not sent again.
pub async fn push(
    image: &Packed,
    reference: &ImageReference,
    registry: &Registry,
) -> Result<Digest, PushError> {
    let candidate = at(reference, registry.clone());
    let failed = |cause| PushError { reference: reference.clone(), cause };
    let client = Client::new(&candidate, "pull,push").map_err(failed)?;
    let mut backoff = Backoff::default();
    loop {
        match try_push(&client, image, &candidate.version).await {
            Ok(()) => return Ok(image.digest()),
            Err(failure) if backoff.again(&failure).await => {}
            Err(failure) => return Err(failed(ClientError { subject: candidate.to_string(), failure })),
        }
    }
}

async fn try_push(client: &Client, image: &Packed, version: &str) -> Result<(), Failure> {
    for blob in [&image.layer, &image.config] {
        push_blob(client, blob).await?;
    }
    let url = client.url(&format!("manifests/{version}"));
    let put = client
        .send(Method::PUT, &url, |r| r.header(CONTENT_TYPE, media::MANIFEST).body(image.manifest.clone()));
    ok(put.await?).await.map(|_| ())
}

async fn push_blob(client: &Client, blob: &[u8]) -> Result<(), Failure> {
    let digest = Digest::of(blob);
    let head = client.send(Method::HEAD, &client.url(&format!("blobs/{digest}")), |r| r).await?;
    if head.status() == StatusCode::OK {
        return Ok(());
    }
    let started = ok(client
        .send(Method::POST, &client.url("blobs/uploads/"), |r| r.header("content-length", "0"))
        .await?)
    .await?;
    let mut location = client.location(&started)?;
    location.query_pairs_mut().append_pair("digest", &digest.to_string());
    let bytes = bytes::Bytes::copy_from_slice(blob);
    let put = client.send(Method::PUT, location.as_str(), |r| {
        r.header(CONTENT_TYPE, "application/octet-stream").body(bytes.clone())
    });
    ok(put.await?).await.map(|_| ())
}
