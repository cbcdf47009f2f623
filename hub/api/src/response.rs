//! Answers: JSON with the right headers, compressed where it pays, or a stream.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use gannet_hub_objects::Status;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WARNING};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Answer = Response<Body>;

/// Smaller answers are sent as they are: compression costs more than it saves (as in Kubernetes).
const COMPRESS_FROM: usize = 128 * 1024;
/// Longest warning, and all warnings together, as in Kubernetes: proxies drop larger headers.
const MAX_WARNING: usize = 256;
const MAX_WARNINGS: usize = 4096;

pub(crate) fn json(code: u16, value: &Value) -> Answer {
    bytes(code, "application/json", value.to_string().into_bytes())
}

pub(crate) fn bytes(code: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    with_type(code, content_type, body)
}

pub(crate) fn stream(content_type: &str, body: BoxStream<'static, io::Result<Bytes>>) -> Answer {
    with_type(200, content_type, StreamBody::new(body.map_ok(Frame::data)).boxed_unsync())
}

pub(crate) fn failure(status: &Status) -> Answer {
    let mut answer = json(status.code, &status.to_json());
    if let Some(seconds) = status.details.retry_after_seconds {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

fn with_type(code: u16, content_type: &str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// Adds `Warning:` headers, each once.
pub(crate) fn warn(answer: &mut Answer, warnings: &[String]) {
    let mut total = 0;
    for (at, warning) in warnings.iter().enumerate() {
        if warnings[..at].contains(warning) {
            continue;
        }
        let text: String = warning
            .chars()
            .map(|c| if c.is_ascii_control() || !c.is_ascii() { ' ' } else { c })
            .take(MAX_WARNING)
            .collect();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        total += quoted.len();
        if total > MAX_WARNINGS {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}

/// Compresses a large answer for a client that accepts it. Streams stay as they are.
pub(crate) async fn compress(answer: Answer, accepts_gzip: bool) -> Answer {
    let large = http_body::Body::size_hint(answer.body()).exact().is_some_and(|n| n >= COMPRESS_FROM as u64);
    if !accepts_gzip || !large {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(plain) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return failure(&Status::internal("an answer broke off"));
    };
    let copy = plain.clone();
    let packed = tokio::task::spawn_blocking(move || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&copy).and_then(|()| encoder.finish())
    })
    .await;
    let body = match packed {
        Ok(Ok(packed)) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
            packed.into()
        }
        _ => plain,
    };
    Response::from_parts(parts, Full::new(body).map_err(|never| match never {}).boxed_unsync())
}
