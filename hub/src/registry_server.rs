//! Serves the built-in registry: plain HTTP on loopback, TLS with the hub's identities elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Connections at a time: a fleet's pulls queue in the kernel.
const MAX_CONNECTIONS: usize = 512;
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves at these addresses until told to stop. Returns the addresses and the task.
pub(crate) async fn serve(
    addresses: &[SocketAddr],
    router: axum::Router,
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
) -> anyhow::Result<(Vec<SocketAddr>, JoinSet<()>)> {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut bound = Vec::new();
    let mut tasks = JoinSet::new();
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen at --registry-address {address}"))?;
        bound.push(listener.local_addr()?);
        let tls = (!address.ip().is_loopback()).then(|| TlsAcceptor::from(tls.clone()));
        tasks.spawn(accept(listener, tls, router.clone(), permits.clone(), stop.clone()));
    }
    Ok((bound, tasks))
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: axum::Router,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let accepted = tokio::select! { a = listener.accept() => a, () = stop.cancelled() => return };
        let Ok((stream, _)) = accepted else { continue };
        let (tls, router) = (tls.clone(), router.clone());
        connections.spawn(async move {
            if let Err(error) = connection(stream, tls, router).await {
                debug!(error, "registry connection ended");
            }
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: axum::Router) -> Result<(), String> {
    let service = TowerToHyperService::new(router);
    let server = auto::Builder::new(TokioExecutor::new());
    let Some(tls) = tls else {
        return server.serve_connection(TokioIo::new(stream), service).await.map_err(|e| e.to_string());
    };
    let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await;
    let stream = stream.map_err(|_| "TLS handshake took too long".to_owned())?.map_err(|e| e.to_string())?;
    server.serve_connection(TokioIo::new(stream), service).await.map_err(|e| e.to_string())
}
