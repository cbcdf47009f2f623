//! Requests to the modules that answer them.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};

use crate::api_error::ApiError;
use crate::route::Route;
use crate::{Registry, blobs, listing, manifests};

/// The query of a request, names and values decoded.
pub(crate) type Parameters = BTreeMap<String, String>;

/// Any request under `/v2`.
pub(crate) async fn handle(State(registry): State<Registry>, request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = answer(&registry, request).await.unwrap_or_else(IntoResponse::into_response);
    tracing::debug!(%method, path, status = response.status().as_u16(), "registry request");
    let version = HeaderValue::from_static("registry/2.0");
    response.headers_mut().insert("docker-distribution-api-version", version);
    response
}

async fn answer(registry: &Registry, request: Request) -> Result<Response, ApiError> {
    let route = Route::parse(request.method(), &decoded(request.uri().path()))?;
    let (parts, body) = request.into_parts();
    let query = Query::<Parameters>::try_from_uri(&parts.uri).map(|q| q.0).unwrap_or_default();
    match route {
        Route::Ping => Ok((StatusCode::OK, [("content-type", "application/json")], "{}").into_response()),
        Route::Catalog => listing::catalog(registry, &query).await,
        Route::Tags { name } => listing::tags(registry, &name, &query).await,
        Route::GetManifest { name, version } => manifests::get(registry, &name, version).await,
        Route::PutManifest { name, version } => {
            manifests::put(registry, &name, version, &parts.headers, body).await
        }
        Route::DeleteManifest { name, version } => manifests::delete(registry, &name, version).await,
        Route::GetBlob { digest } => blobs::get(registry, &digest, &parts.method, &parts.headers).await,
        Route::StartUpload { name } => blobs::start(registry, &name, &query, body).await,
        Route::UploadStatus { name, id } => blobs::status(registry, &name, &id).await,
        Route::Append { name, id } => blobs::append(registry, &name, &id, &parts.headers, body).await,
        Route::Finish { name, id } => blobs::finish(registry, &name, &id, &query, &parts.headers, body).await,
        Route::Cancel { name, id } => blobs::cancel(registry, &name, &id).await,
    }
}

/// Clients may write the colon of a digest as `%3A`; nothing else of a valid path needs an escape.
fn decoded(path: &str) -> String {
    path.replace("%3A", ":").replace("%3a", ":")
}

/// A header as text.
pub(crate) fn header<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A response of headers alone.
pub(crate) fn respond(status: StatusCode, headers: &[(&'static str, String)]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    for (name, value) in headers {
        // All values are digests, names, numbers and paths that were parsed: visible ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    response
}
