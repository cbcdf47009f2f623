//! A registry that does what a test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use gannet_images::{Packed, Registry, media};
use gannet_protocols_model::Digest;
use tokio::task::JoinSet;

/// What is asked of the registry.
pub(crate) struct Request {
    pub(crate) number: usize,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) manifest: bool,
    /// The whole blob that is asked for.
    pub(crate) blob: Option<Bytes>,
}

impl Request {
    pub(crate) fn big_blob(&self) -> bool {
        self.blob.as_ref().is_some_and(|blob| blob.len() > 60_000)
    }

    pub(crate) fn redirectable(&self) -> bool {
        self.blob.is_some() && self.query.is_empty()
    }
}

/// What it says instead of the truth.
pub(crate) enum Answer {
    Body(Vec<u8>),
    Status(StatusCode, HeaderMap),
    Redirect(String),
    /// The truth, but the connection ends after this many bytes.
    BreaksOffAfter(usize),
}

type Lie = Box<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

struct Content {
    tags: BTreeMap<String, Vec<u8>>,
    blobs: Mutex<BTreeMap<String, Bytes>>,
    manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    lie: Lie,
    requests: AtomicUsize,
    sent: AtomicU64,
    ranges: Mutex<Vec<Option<String>>>,
}

pub(crate) struct Fake {
    pub(crate) host: String,
    content: Arc<Content>,
    servers: Mutex<JoinSet<()>>,
}

impl Fake {
    pub(crate) async fn start(
        images: &[(&str, &Packed)],
        lie: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let mut blobs = BTreeMap::new();
        let mut tags = BTreeMap::new();
        let mut manifests = BTreeMap::new();
        for (name, image) in images {
            for blob in [&image.layer, &image.config] {
                blobs.insert(Digest::of(blob).to_string(), Bytes::from(blob.clone()));
            }
            tags.insert((*name).to_owned(), image.manifest.clone());
            manifests.insert(Digest::of(&image.manifest).to_string(), image.manifest.clone());
        }
        let content = Arc::new(Content {
            tags,
            blobs: blobs.into(),
            manifests: manifests.into(),
            lie: Box::new(lie),
            requests: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            ranges: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = router(Arc::clone(&content));
        let mut servers = JoinSet::new();
        servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, content, servers: servers.into() }
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::http(&self.host)
    }

    pub(crate) fn add_manifest(&self, bytes: &[u8]) {
        self.content.manifests.lock().unwrap().insert(Digest::of(bytes).to_string(), bytes.to_vec());
    }

    /// The `Range` headers of requests for large blobs.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        self.content.ranges.lock().unwrap().clone()
    }

    /// Bytes of large blobs that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.content.sent.load(Ordering::Relaxed)
    }

    /// The same registry behind TLS that asks for a certificate of this authority.
    pub(crate) async fn serve_tls(&self, authority: &Authority) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server()));
        let router = router(Arc::clone(&self.content));
        self.servers.lock().unwrap().spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper_util::service::TowerToHyperService::new(router);
                    let server =
                        hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                    let _ = server.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
                });
            }
        });
        host
    }
}

fn router(content: Arc<Content>) -> Router {
    Router::new().fallback(serve).with_state(content)
}

async fn serve(State(content): State<Arc<Content>>, request: axum::extract::Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    let blob = content.blobs.lock().unwrap().get(&last).filter(|_| path.contains("/blobs/")).cloned();
    let number = content.requests.fetch_add(1, Ordering::Relaxed);
    let headers = request.headers().clone();
    let asked =
        Request { number, manifest: path.contains("/manifests/"), path: path.clone(), query, headers, blob };
    let range = asked.headers.get("range").map(|h| h.to_str().unwrap().to_owned());
    let lie = (content.lie)(&asked);
    if asked.big_blob() {
        content.ranges.lock().unwrap().push(range.clone());
    }
    match lie {
        Some(Answer::Body(bytes)) => return bytes.into_response(),
        Some(Answer::Status(status, headers)) => return (status, headers).into_response(),
        Some(Answer::Redirect(to)) => {
            return (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response();
        }
        Some(Answer::BreaksOffAfter(_)) | None => {}
    }
    let Some(blob) = asked.blob else {
        let name = path.trim_start_matches("/v2/").split("/manifests/").next().unwrap_or_default();
        let by_digest = content.manifests.lock().unwrap().get(&last).cloned();
        return match by_digest.or_else(|| content.tags.get(name).filter(|_| last == "latest").cloned()) {
            Some(manifest) => manifest.into_response(),
            None => (StatusCode::NOT_FOUND, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#).into_response(),
        };
    };
    let start = range
        .and_then(|r| r.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().ok())
        .unwrap_or(0);
    let rest = blob.slice(start..);
    let headers = [
        ("content-length", rest.len().to_string()),
        ("content-range", format!("bytes {start}-{}/{}", blob.len() - 1, blob.len())),
    ];
    let status = if start == 0 { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let body = match lie {
        Some(Answer::BreaksOffAfter(bytes)) if bytes < rest.len() => {
            content.sent.fetch_add(bytes as u64, Ordering::Relaxed);
            let pieces = [Ok(rest.slice(..bytes)), Err(std::io::Error::other("the connection ends"))];
            // What came before the error is sent while the error is not there yet.
            Body::from_stream(futures::stream::iter(pieces).then(async |piece| {
                if piece.is_err() {
                    tokio::task::yield_now().await;
                }
                piece
            }))
        }
        _ => {
            content.sent.fetch_add(rest.len() as u64, Ordering::Relaxed);
            Body::from(rest)
        }
    };
    (status, headers, body).into_response()
}

/// A manifest of a configuration and one gzip layer.
pub(crate) fn manifest(config: &[u8], layer: &[u8]) -> Vec<u8> {
    let blob = |kind: &str, bytes: &[u8]| {
        format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())
    };
    let (config, layer) = (blob(media::CONFIG, config), blob(media::LAYER_GZIP, layer));
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#).into_bytes()
}

/// A certificate authority of a test.
pub(crate) struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuer: rcgen::CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate and its key, good for client and server.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self) -> rustls::ServerConfig {
        use rustls_pki_types::pem::PemObject as _;
        use rustls_pki_types::{CertificateDer, PrivateKeyDer};
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .build()
                .unwrap();
        let (cert, key) = self.issue("registry");
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}
