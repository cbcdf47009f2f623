//! The distribution API, as far as pulls and pushes need it, against one repository of one registry.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use gannet_protocols_model::Digest;

use crate::manifest::{MAX_MANIFEST_BYTES, media};
use crate::remote::auth::Challenge;
use crate::{Candidate, Credentials, Registry, Scheme};

/// Tokens of public registries have 2 to 8 KB.
const MAX_TOKEN_BYTES: usize = 64 << 10;
/// What is read of an error's body.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// Tries of one request; the agent's own back-off follows after that.
const ATTEMPTS: u32 = 3;
/// The longest wait that a registry may ask for between tries.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Why a registry's answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {failure}")]
pub struct ClientError {
    /// The image or blob at the registry.
    pub subject: String,
    /// What went wrong.
    pub failure: Failure,
}

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The registry has no such thing.
    #[error("{message}")]
    NotFound {
        /// `manifest unknown`, `blob unknown`, `name unknown`.
        message: String,
    },
    /// The registry does not give it to us.
    #[error("access denied: {message}")]
    Denied {
        /// The registry's words.
        message: String,
    },
    /// No answer, or one that broke off.
    #[error("{reason}")]
    Unreachable {
        /// `connection refused`, `operation timed out`.
        reason: String,
    },
    /// The registry is overloaded or broken.
    #[error("registry answered {status}: {message}")]
    Server {
        /// 429 or 500 and up.
        status: u16,
        /// The registry's words.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// An answer that no registry should give.
    #[error("{reason}")]
    Protocol {
        /// What is wrong with it.
        reason: String,
    },
}

impl Failure {
    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol { reason: reason.into() }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Server { .. })
    }
}

/// Counts the tries of one piece of work and waits between them.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failed: u32,
}

impl Backoff {
    /// Whether to try again; waits before it says yes.
    pub(crate) async fn again(&mut self, failure: &Failure) -> bool {
        let Some(wait) = self.next_wait(failure) else {
            return false;
        };
        tokio::time::sleep(wait).await;
        true
    }

    fn next_wait(&mut self, failure: &Failure) -> Option<Duration> {
        self.failed += 1;
        if !failure.is_transient() || self.failed >= ATTEMPTS {
            return None;
        }
        let own = Duration::from_millis(250) * 4_u32.pow(self.failed - 1);
        Some(match failure {
            Failure::Server { retry_after: Some(asked), .. } => (*asked).min(MAX_RETRY_AFTER).max(own),
            _ => own,
        })
    }
}

/// A repository at a registry.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    registry: Registry,
    repository: String,
    /// `pull` or `pull,push`.
    actions: &'static str,
    authorization: Mutex<Option<HeaderValue>>,
}

impl Client {
    pub(crate) fn new(candidate: &Candidate, actions: &'static str) -> Result<Self, ClientError> {
        let http = crate::remote::request::http_client(&candidate.registry).map_err(|e| ClientError {
            subject: candidate.to_string(),
            failure: Failure::protocol(e.to_string()),
        })?;
        Ok(Self {
            http,
            registry: candidate.registry.clone(),
            repository: candidate.repository.clone(),
            actions,
            authorization: Mutex::new(None),
        })
    }

    /// A manifest or index by tag or digest, of at most [`MAX_MANIFEST_BYTES`].
    pub(crate) async fn manifest(&self, version: &str) -> Result<Vec<u8>, ClientError> {
        let accept = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_LIST].join(", ");
        let separator = if version.contains(':') { '@' } else { ':' };
        let subject = format!("{}/{}{separator}{version}", self.registry.host, self.repository);
        let mut backoff = Backoff::default();
        loop {
            let get = async {
                let response = self
                    .send(Method::GET, &self.url(&format!("manifests/{version}")), |r| {
                        r.header(ACCEPT, &accept)
                    })
                    .await?;
                read_bounded(ok(response).await?, MAX_MANIFEST_BYTES).await
            };
            match get.await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) if backoff.again(&failure).await => {}
                Err(failure) => return Err(ClientError { subject, failure }),
            }
        }
    }

    /// A blob from this byte on. The answer has status 206, or 200 where the registry sends all of it.
    pub(crate) async fn blob(&self, digest: &Digest, from: u64) -> Result<Response, Failure> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let url = self.url(&format!("blobs/{digest}"));
        let response = self
            .send(Method::GET, &url, |r| match &range {
                Some(range) => r.header(reqwest::header::RANGE, range),
                None => r,
            })
            .await?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        ok(response).await
    }

    /// Below the repository.
    pub(crate) fn url(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.registry.base_url(), self.repository)
    }

    /// A `Location` header's URL; it may be relative.
    pub(crate) fn location(&self, response: &Response) -> Result<Url, Failure> {
        let header = response.headers().get(reqwest::header::LOCATION).and_then(|h| h.to_str().ok());
        let header = header.ok_or_else(|| Failure::protocol("registry gave no location for the upload"))?;
        response.url().join(header).map_err(|e| Failure::protocol(format!("location of the upload: {e}")))
    }

    /// Sends, and answers a challenge once.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        edit: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let known = self.authorization.lock().await.clone();
        let request = |authorization: Option<HeaderValue>| {
            let request = edit(self.http.request(method.clone(), url));
            match authorization {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            }
        };
        let response = request(known).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let header =
            response.headers().get(WWW_AUTHENTICATE).and_then(|h| h.to_str().ok()).and_then(Challenge::parse);
        let Some(challenge) = header else {
            return Ok(response);
        };
        let Some(authorization) = self.answer(challenge).await? else {
            return Ok(response);
        };
        *self.authorization.lock().await = Some(authorization.clone());
        request(Some(authorization)).send().await.map_err(unreachable)
    }

    /// The header that answers a challenge; `None` where we have nothing to show.
    async fn answer(&self, challenge: Challenge) -> Result<Option<HeaderValue>, Failure> {
        let credentials = self.registry.credentials.as_ref();
        let (realm, service, scope) = match challenge {
            Challenge::Basic => return Ok(credentials.and_then(basic)),
            Challenge::Bearer { realm, service, scope } => (realm, service, scope),
        };
        let mut url =
            Url::parse(&realm).map_err(|e| Failure::protocol(format!("token server {realm:?}: {e}")))?;
        if url.scheme() != "https" && self.registry.scheme == Scheme::Https {
            return Err(Failure::protocol(format!("token server {realm:?} is not https")));
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{}:{}", self.repository, self.actions));
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", &service);
        }
        let mut request = self.http.get(url);
        if let Some(header) = credentials.and_then(basic) {
            request = request.header(AUTHORIZATION, header);
        }
        let response = ok(request.send().await.map_err(unreachable)?).await?;
        let body = read_bounded(response, MAX_TOKEN_BYTES).await?;
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let token: Token = serde_json::from_slice(&body)
            .map_err(|e| Failure::protocol(format!("token does not parse: {e}")))?;
        let token = token
            .token
            .or(token.access_token)
            .ok_or_else(|| Failure::protocol("token server gave no token"))?;
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        header.map(Some).map_err(|_| Failure::protocol("token is not printable"))
    }
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let text = BASE64.encode(format!("{}:{}", credentials.username, credentials.password));
    let mut header = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The response where it is a success; else what the registry says is wrong.
pub(crate) async fn ok(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|h| h.to_str().ok()?.parse().ok());
    let body = read_bounded(response, MAX_ERROR_BYTES).await.unwrap_or_default();
    let message = error_message(&body)
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_lowercase());
    Err(match status.as_u16() {
        404 => Failure::NotFound { message },
        401 | 403 => Failure::Denied { message },
        code @ (429 | 500..) => {
            Failure::Server { status: code, message, retry_after: retry_after.map(Duration::from_secs) }
        }
        code => Failure::protocol(format!("registry answered {code}: {message}")),
    })
}

/// The first error of the specification's error body: its code in words, and the message where it says more.
fn error_message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        code: String,
        #[serde(default)]
        message: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let first = body.errors.into_iter().next()?;
    let code = first.code.to_lowercase().replace('_', " ");
    let message: String = first.message.chars().take(200).filter(|c| !c.is_control()).collect();
    Some(if message.is_empty() || message.starts_with(&code) { code } else { format!("{code}: {message}") })
}

/// A body of at most `limit` bytes.
async fn read_bounded(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::protocol(format!("answer has more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(crate) fn unreachable(error: reqwest::Error) -> Failure {
    // A redirect that was refused and a request that cannot be built do not get better with time.
    if error.is_redirect() || error.is_builder() {
        return Failure::protocol(root_cause(&error));
    }
    Failure::Unreachable { reason: root_cause(&error) }
}

/// The innermost cause, as people know it: `connection refused`, not four layers of libraries.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_registries() {
        let check = |body: &str, expect: Option<&str>| {
            assert_eq!(error_message(body.as_bytes()).as_deref(), expect, "{body}")
        };
        check(
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#,
            Some("manifest unknown"),
        );
        check(r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#, Some("denied: not yours"));
        check(r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#, Some("unauthorized"));
        check(r#"{"errors":[]}"#, None);
        check("<html>", None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let check = |failure: Failure, waits: &[Option<u64>]| {
            let mut backoff = Backoff::default();
            for wait in waits {
                assert_eq!(backoff.next_wait(&failure), wait.map(Duration::from_millis), "{failure}");
            }
        };
        let server = |seconds| Failure::Server { status: 503, message: String::new(), retry_after: seconds };
        check(Failure::NotFound { message: String::new() }, &[None]);
        check(Failure::Unreachable { reason: String::new() }, &[Some(250), Some(1000), None]);
        check(server(None), &[Some(250), Some(1000), None]);
        check(server(Some(Duration::from_secs(9999))), &[Some(10_000), Some(10_000), None]);
        check(server(Some(Duration::ZERO)), &[Some(250), Some(1000), None]);
    }
}
