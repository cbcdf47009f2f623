//! Blobs: served whole and in parts, uploaded in one piece or many.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use gannet_images::atomic;
use gannet_protocols_model::Digest;

use crate::Registry;
use crate::api::{Parameters, header, respond};
use crate::api_error::ApiError;
use crate::range::{self, Part};
use crate::uploads::Upload;

/// What is read of a blob at a time.
const BUFFER: usize = 64 << 10;

pub(crate) async fn get(
    registry: &Registry,
    digest: &Digest,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let mut file = match File::open(registry.layout().blob(digest)).await {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(ApiError::blob_unknown()),
        opened => opened?,
    };
    let size = file.metadata().await?.len();
    let part = range::parse(header(headers, "range"), size);
    let (status, range) = match part {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Unsatisfiable => return Err(ApiError::range()),
    };
    let length = range.end - range.start;
    let mut fields = vec![
        ("content-type", "application/octet-stream".to_owned()),
        ("content-length", length.to_string()),
        ("accept-ranges", "bytes".to_owned()),
        ("docker-content-digest", digest.to_string()),
        ("etag", format!("\"{digest}\"")),
    ];
    if status == StatusCode::PARTIAL_CONTENT {
        fields.push(("content-range", format!("bytes {}-{}/{size}", range.start, range.end - 1)));
    }
    let mut response = respond(status, &fields);
    if *method == Method::GET {
        file.seek(std::io::SeekFrom::Start(range.start)).await?;
        *response.body_mut() = Body::from_stream(ReaderStream::with_capacity(file.take(length), BUFFER));
    }
    Ok(response)
}

/// POST: a mount from another repository, a whole blob with its digest, or the start of an upload.
pub(crate) async fn start(
    registry: &Registry,
    name: &str,
    query: &Parameters,
    body: Body,
) -> Result<Response, ApiError> {
    if let Some(digest) = query.get("mount") {
        let digest = parse(digest)?;
        // Blobs belong to the registry, not to a repository: where it is here at all, it is mounted.
        if tokio::fs::try_exists(registry.layout().blob(&digest)).await? {
            return Ok(created(name, &digest));
        }
    }
    let id = registry.uploads().start(name, |id| registry.layout().upload(id)).await?;
    if let Some(digest) = query.get("digest") {
        return complete(registry, name, &id, digest, body).await;
    }
    Ok(respond(StatusCode::ACCEPTED, &progress(name, &id, 0)))
}

pub(crate) async fn status(registry: &Registry, name: &str, id: &str) -> Result<Response, ApiError> {
    let size = registry.uploads().get(name, id)?.lock().await.size();
    Ok(respond(StatusCode::NO_CONTENT, &progress(name, id, size)))
}

pub(crate) async fn append(
    registry: &Registry,
    name: &str,
    id: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let shared = registry.uploads().get(name, id)?;
    let mut upload = shared.lock().await;
    in_order(&upload, name, id, headers)?;
    add(registry, &mut upload, name, id, body).await?;
    let size = upload.size();
    drop(upload);
    Ok(respond(StatusCode::ACCEPTED, &progress(name, id, size)))
}

pub(crate) async fn finish(
    registry: &Registry,
    name: &str,
    id: &str,
    query: &Parameters,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let digest =
        query.get("digest").ok_or_else(|| ApiError::digest_invalid("the query must have a digest"))?;
    let shared = registry.uploads().get(name, id)?;
    in_order(&*shared.lock().await, name, id, headers)?;
    complete(registry, name, id, digest, body).await
}

pub(crate) async fn cancel(registry: &Registry, name: &str, id: &str) -> Result<Response, ApiError> {
    registry.uploads().take(name, id)?;
    Ok(respond(StatusCode::NO_CONTENT, &[]))
}

/// Takes the last piece in and makes the upload a blob. A digest that is wrong ends the upload.
async fn complete(
    registry: &Registry,
    name: &str,
    id: &str,
    digest: &str,
    body: Body,
) -> Result<Response, ApiError> {
    let digest = parse(digest)?;
    let shared = registry.uploads().get(name, id)?;
    let mut upload = shared.lock().await;
    add(registry, &mut upload, name, id, body).await?;
    registry.uploads().take(name, id)?;
    let path = upload.seal(&digest).await?;
    let moved = registry.blocking(move |layout| atomic::publish(&path, &layout.blob(&digest)));
    moved.await?;
    drop(upload);
    Ok(created(name, &digest))
}

/// Adds a body. An upload that became too large is over: its bytes would only lie there.
async fn add(
    registry: &Registry,
    upload: &mut Upload,
    name: &str,
    id: &str,
    body: Body,
) -> Result<(), ApiError> {
    let added = upload.append(body, registry.options().max_blob_bytes).await;
    if added.as_ref().is_err_and(ApiError::is_size) {
        registry.uploads().take(name, id)?;
    }
    added
}

/// Refuses a piece that does not start where the upload ends.
fn in_order(upload: &Upload, name: &str, id: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(range) = header(headers, "content-range") else {
        return Ok(());
    };
    let start =
        range.trim_start_matches("bytes ").split('-').next().and_then(|s| s.trim().parse::<u64>().ok());
    if start == Some(upload.size()) {
        return Ok(());
    }
    let headers = respond(StatusCode::OK, &progress(name, id, upload.size())).headers().clone();
    Err(ApiError::out_of_order(
        format!("content range {range:?} does not start at {}", upload.size()),
        headers,
    ))
}

fn parse(digest: &str) -> Result<Digest, ApiError> {
    digest.parse().map_err(|e| ApiError::digest_invalid(format!("{e}")))
}

fn created(name: &str, digest: &Digest) -> Response {
    let headers =
        [("location", format!("/v2/{name}/blobs/{digest}")), ("docker-content-digest", digest.to_string())];
    respond(StatusCode::CREATED, &headers)
}

fn progress(name: &str, id: &str, size: u64) -> [(&'static str, String); 3] {
    [
        ("location", format!("/v2/{name}/blobs/uploads/{id}")),
        // The last byte that is here, as the specification has it; of none at all, Docker's registry says 0 too.
        ("range", format!("0-{}", size.saturating_sub(1))),
        ("docker-upload-uuid", id.to_owned()),
    ]
}
