//! A connection to the hub: the requests that commands are made of.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::Connection;
use crate::resource::{Kinds, Resource};
use crate::status::{failure, printable, refusal};

/// Where `gannet up` leaves its kubeconfig when it is given no data folder.
const UP_KUBECONFIG: &str = "/var/lib/gannet/kubeconfig";

/// The media type of tables.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// One hub, one namespace.
pub struct Session {
    client: Client,
    namespace: String,
    kinds: OnceCell<Kinds>,
    warnings: Mutex<BTreeSet<String>>,
}

/// The largest answer that is read whole: a list of everything in a fleet.
const MAX_ANSWER: usize = 256 << 20;

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Session {
    /// Reads the kubeconfig. Connects with the first request.
    pub async fn open(connection: &Connection) -> anyhow::Result<Self> {
        let path = kubeconfig_path(connection)?;
        let kubeconfig =
            Kubeconfig::read_from(&path).with_context(|| format!("kubeconfig {}", path.display()))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.with_context(|| format!("kubeconfig {}", path.display()))?;
        // Watches and followed logs are silent for as long as nothing happens.
        config.read_timeout = None;
        let namespace = connection.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        // More than one provider may be linked in; ours is ring. Set already is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            client: Client::try_from(config)?,
            namespace,
            kinds: OnceCell::new(),
            warnings: Mutex::default(),
        })
    }

    /// The namespace that commands act in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What the hub serves, asked once.
    pub(crate) async fn kinds(&self) -> anyhow::Result<&Kinds> {
        self.kinds.get_or_try_init(|| Kinds::discover(&self.client)).await
    }

    /// The resource that a word names: `pods`, `po`, `deployment`, `deployments.apps`.
    pub(crate) async fn resource(&self, word: &str) -> anyhow::Result<&Resource> {
        let found = self.kinds().await?.find(word);
        found.ok_or_else(|| anyhow!("the server doesn't have a resource type \"{word}\""))
    }

    /// What the hub warned of so far. Each warning also went to the standard error, once.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(crate) fn warn(&self, warning: String) {
        let mut said = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&warning) {
            eprintln!("Warning: {}", printable(&warning));
            said.insert(warning);
        }
    }

    /// GET as JSON.
    pub(crate) async fn get_json(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, "application/json", None).await
    }

    /// GET as a Table (KEP-876), which the hub prints with kubectl's columns.
    pub(crate) async fn get_table(&self, path: &str) -> anyhow::Result<Value> {
        let request = Request::builder().method(Method::GET).uri(path).header("Accept", TABLE);
        self.json(request.body(Vec::new())?).await.with_context(|| format!("answer to {path}"))?
    }

    /// Any request with a JSON answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let request = Request::builder().method(method).uri(path).header("Accept", "application/json");
        let request = request.header("Content-Type", content_type);
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        self.json(request.body(body)?).await.with_context(|| format!("answer to {path}"))?
    }

    /// The outer error is of an answer that cannot be read, the inner one is what the hub or the connection said.
    async fn json(&self, request: Request<Vec<u8>>) -> anyhow::Result<anyhow::Result<Value>> {
        let answer: Response<Body> = match self.client.send(request.map(Body::from)).await {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(failure(error))),
        };
        for warning in warnings(answer.headers()) {
            self.warn(warning);
        }
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| anyhow!(e))?.to_bytes();
        if status.is_success() {
            return Ok(Ok(serde_json::from_slice(&body)?));
        }
        Ok(Err(refusal(status, &body)))
    }

    /// A body that comes as it is made: a watch, a log.
    pub(crate) async fn stream(
        &self,
        path: &str,
        accept: &str,
    ) -> anyhow::Result<impl futures::io::AsyncBufRead + Unpin + use<>> {
        let request = Request::builder().method(Method::GET).uri(path).header("Accept", accept);
        let request = request.body(Vec::new())?;
        Ok(Box::pin(self.client.request_stream(request).await.map_err(failure)?))
    }
}

/// The texts of `Warning: 299 - "text"` headers (RFC 7234, section 5.5).
fn warnings(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers.get_all("warning").into_iter().filter_map(|value| {
        let quoted = value.to_str().ok()?.strip_prefix("299 ")?.split_once(' ')?.1;
        let quoted = quoted.strip_prefix('"')?.strip_suffix('"')?;
        Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
    })
}

fn kubeconfig_path(connection: &Connection) -> anyhow::Result<PathBuf> {
    if let Some(path) = &connection.kubeconfig {
        return Ok(path.clone());
    }
    if let Some(path) = std::env::var_os("KUBECONFIG").filter(|p| !p.is_empty()) {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
    let candidates = [home, Some(PathBuf::from(UP_KUBECONFIG))];
    let found = candidates.into_iter().flatten().find(|path| path.is_file());
    found.context(
        "no kubeconfig: pass --kubeconfig FILE or set KUBECONFIG (gannet up writes DATA-DIR/kubeconfig)",
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_the_hub_warns_of() {
        let check = |header: &'static str, expect: &[&str]| {
            let headers = HeaderMap::from_iter([(http::header::WARNING, HeaderValue::from_static(header))]);
            assert_eq!(warnings(&headers).collect::<Vec<_>>(), expect, "{header}");
        };
        check(r#"299 - "use apps/v1""#, &["use apps/v1"]);
        check(r#"299 - "a \"b\" c""#, &[r#"a "b" c"#]);
        check("199 - \"miscellaneous\"", &[]);
        check("299 - bare", &[]);
    }
}
