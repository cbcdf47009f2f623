//! The TLS server: accepts connections, knows whose they are, and ends them when it is told to.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gannet_hub_objects::Objects;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::auth::User;
use crate::dispatch::{self, Context};
use crate::figures::NodeFigures;
use crate::logs::PodLogs;

/// A client has this long for its TLS handshake and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// All headers of a request; certificates and tokens are small.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection, as in Go's server.
const MAX_STREAMS: u32 = 250;
/// A client that vanished is noticed after two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What the server needs from the hub.
pub struct ApiConfig {
    /// The listening socket.
    pub listener: TcpListener,
    /// Our certificate, and the authority that signs those of clients. Client certificates are optional at this level;
    /// whoever has none may ask for health and version alone.
    pub tls: Arc<ServerConfig>,
    /// Connections at once. More wait in the kernel's queue.
    pub max_connections: usize,
    /// Version of the hub.
    pub version: String,
    /// Whether the hub can answer; what `/readyz` says.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The objects.
    pub objects: Arc<Objects>,
    /// The logs of pods.
    pub logs: Arc<dyn PodLogs>,
    /// What nodes and pods use.
    pub figures: Arc<dyn NodeFigures>,
}

impl std::fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiConfig").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// A server that runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ApiServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, ends watches, and waits so long for the requests under way.
    pub async fn shutdown(mut self, grace: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            tracing::warn!(grace_ms = grace.as_millis(), "requests were cut off");
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// Starts to serve.
pub fn serve(config: ApiConfig) -> io::Result<ApiServer> {
    let address = config.listener.local_addr()?;
    let stop = CancellationToken::new();
    let context = Arc::new(Context {
        objects: config.objects,
        logs: config.logs,
        figures: config.figures,
        ready: config.ready,
        version: config.version,
        stop: stop.clone(),
    });
    let mut tls = ServerConfig::clone(&config.tls);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let accepting = accept(config.listener, acceptor, context, config.max_connections, stop.clone());
    Ok(ApiServer { address, stop, task: tokio::spawn(accepting) })
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    context: Arc<Context>,
    max_connections: usize,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(max_connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely; trying again at once would only burn the processor.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = connection(stream, acceptor.clone(), context.clone(), stop.clone());
        let span = tracing::info_span!("connection", peer.address = %peer);
        connections.spawn(
            async move {
                let _slot = slot;
                connection.await;
            }
            .instrument(span),
        );
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let stream = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let user = certificate.and_then(|certificate| User::of_certificate(certificate)).map(Arc::new);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (context, user) = (context.clone(), user.clone());
        async move { Ok::<_, Infallible>(dispatch::answer(&context, user.as_deref(), request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
}
