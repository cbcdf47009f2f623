//! Manifests by tag and digest.

use axum::body::Body;
use axum::response::Response;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};

use gannet_images::{Descriptor, Document, MAX_MANIFEST_BYTES, media};
use gannet_protocols_model::Digest;

use crate::Registry;
use crate::api::{header, respond};
use crate::api_error::ApiError;
use crate::layout::{Layout, Stored};
use crate::route::Version;

const MEDIA_TYPES: [&str; 4] = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_LIST];

/// Answers GET and HEAD; of the latter the server drops the body.
pub(crate) async fn get(registry: &Registry, name: &str, version: Version) -> Result<Response, ApiError> {
    let unknown = ApiError::manifest_unknown(&text(&version));
    let name = name.to_owned();
    let found = registry.blocking(move |layout| {
        let Some(stored) = layout.find(&name, &version)? else {
            return Ok(None);
        };
        let bytes = std::fs::read(layout.blob(&stored.digest))?;
        Ok(Some((stored, bytes)))
    });
    let (Stored { digest, media_type }, bytes) = found.await?.ok_or(unknown)?;
    let headers = [
        ("content-type", media_type),
        ("content-length", bytes.len().to_string()),
        ("docker-content-digest", digest.to_string()),
        ("etag", format!("\"{digest}\"")),
    ];
    let mut response = respond(StatusCode::OK, &headers);
    *response.body_mut() = Body::from(bytes);
    Ok(response)
}

pub(crate) async fn put(
    registry: &Registry,
    name: &str,
    version: Version,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = read(body).await?;
    let digest = Digest::of(&bytes);
    if matches!(version, Version::Digest(named) if named != digest) {
        return Err(ApiError::digest_invalid(format!(
            "provided digest did not match uploaded content, which has {digest}"
        )));
    }
    let document = Document::parse(&bytes).map_err(|e| ApiError::manifest_invalid(e.to_string()))?;
    let media_type = media_type(&document, header(headers, "content-type"))?;
    let repository = name.to_owned();
    let tag = match version {
        Version::Tag(tag) => Some(tag),
        Version::Digest(_) => None,
    };
    let stored = registry.blocking(move |layout| {
        if let Some(missing) = missing(layout, &repository, &document)? {
            return Ok(Err(missing));
        }
        layout.put(&repository, tag.as_deref(), &bytes, &media_type).map(Ok)
    });
    if let Err(missing) = stored.await? {
        return Err(ApiError::manifest_blob_unknown(format!(
            "the manifest names {missing}, which is unknown to registry"
        )));
    }
    let headers = [
        ("location", format!("/v2/{name}/manifests/{digest}")),
        ("docker-content-digest", digest.to_string()),
    ];
    Ok(respond(StatusCode::CREATED, &headers))
}

pub(crate) async fn delete(registry: &Registry, name: &str, version: Version) -> Result<Response, ApiError> {
    let unknown = ApiError::manifest_unknown(&text(&version));
    let name = name.to_owned();
    match registry.blocking(move |layout| layout.remove(&name, &version)).await? {
        true => Ok(respond(StatusCode::ACCEPTED, &[])),
        false => Err(unknown),
    }
}

/// What the manifest is served as: the header and the document must agree, and fit what the document is.
fn media_type(document: &Document, header: Option<&str>) -> Result<String, ApiError> {
    let (inside, default) = match document {
        Document::Manifest(manifest) => (manifest.media_type.clone(), media::MANIFEST),
        Document::Index(index) => (index.media_type.clone(), media::INDEX),
    };
    let header = header.and_then(|h| h.split(';').next()).map(str::trim).filter(|h| MEDIA_TYPES.contains(h));
    let chosen = match (header, inside.as_deref()) {
        (Some(header), Some(inside)) if header != inside => {
            return Err(ApiError::manifest_invalid(format!(
                "content type is {header}, the manifest says {inside}"
            )));
        }
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => default,
    };
    let is_index = matches!(chosen, media::INDEX | media::DOCKER_LIST);
    if !MEDIA_TYPES.contains(&chosen) || is_index != matches!(document, Document::Index(_)) {
        return Err(ApiError::manifest_invalid(format!("media type {chosen} does not fit the manifest")));
    }
    Ok(chosen.to_owned())
}

/// The first blob or manifest that the document names and the registry lacks.
fn missing(layout: &Layout, name: &str, document: &Document) -> std::io::Result<Option<Digest>> {
    match document {
        Document::Manifest(manifest) => {
            // Foreign layers lie elsewhere by design.
            let foreign = |d: &&Descriptor| {
                !d.media_type.contains("nondistributable") && !d.media_type.contains("foreign")
            };
            let mut named = manifest.layers.iter().filter(foreign).chain([&manifest.config]);
            Ok(named.find(|blob| !layout.blob(&blob.digest).is_file()).map(|blob| blob.digest))
        }
        Document::Index(index) => {
            for image in &index.manifests {
                if layout.find(name, &Version::Digest(image.digest))?.is_none() {
                    return Ok(Some(image.digest));
                }
            }
            Ok(None)
        }
    }
}

async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| ApiError::manifest_invalid(format!("the body broke off: {e}")))?;
        if bytes.len() + chunk.len() > MAX_MANIFEST_BYTES {
            return Err(ApiError::size_invalid(format!("manifest has more than {MAX_MANIFEST_BYTES} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn text(version: &Version) -> String {
    match version {
        Version::Tag(tag) => tag.clone(),
        Version::Digest(digest) => digest.to_string(),
    }
}
