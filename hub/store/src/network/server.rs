//! The listening side: hubs only, a bounded number of them, each frame answered before the next is read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::raft::{AppendEntriesResponse, VoteRequest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::config::PeerTls;
use crate::network::catch_up::CatchUp;
use crate::network::frame::{Frame, Kind, invalid};
use crate::raft::Raft;

/// Some streams (appends, votes, snapshots) from each of some dozen hubs.
const MAX_CONNECTIONS: usize = 128;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A leader's stream has a heartbeat many times within this.
const IDLE: Duration = Duration::from_secs(120);
/// After an error of accept, such as no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) raft: Raft,
    pub(crate) tls: PeerTls,
    pub(crate) catch_up: Arc<CatchUp>,
}

impl Server {
    /// Serves until `stop`.
    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let acceptor = TlsAcceptor::from(self.tls.server.clone());
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, from)) => {
                        let Ok(place) = places.clone().try_acquire_owned() else {
                            tracing::warn!(peer.from = %from, "too many connections of hubs");
                            continue;
                        };
                        let (server, acceptor) = (self.clone(), acceptor.clone());
                        connections.spawn(async move {
                            if let Err(e) = server.serve(socket, acceptor).await {
                                tracing::debug!(peer.from = %from, error = %e, "a connection of a hub ended");
                            }
                            drop(place);
                        });
                    }
                    Err(e) => {
                        tracing::warn!(error = %e, "cannot accept connections of hubs");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    async fn serve(&self, socket: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut stream = timeout(HANDSHAKE, acceptor.accept(socket)).await??;
        if !self.admitted(&stream) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the peer's certificate is not a hub's",
            ));
        }
        while let Some(frame) = timeout(IDLE, Frame::read(&mut stream)).await?? {
            let reply = self.answer(frame).await?;
            timeout(IDLE, reply.write(&mut stream)).await??;
        }
        Ok(())
    }

    fn admitted(&self, stream: &TlsStream<TcpStream>) -> bool {
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        certificate.is_some_and(|certificate| (self.tls.admit)(certificate))
    }

    async fn answer(&self, frame: Frame) -> io::Result<Frame> {
        let kind = frame.kind;
        match kind {
            Kind::Append => {
                let request = frame.into_append()?;
                let completes = self.catch_up.active() && CatchUp::completes(&request);
                let reply = self.raft.append_entries(request).await;
                if completes && matches!(reply, Ok(AppendEntriesResponse::Success)) && self.catch_up.end() {
                    self.raft.runtime_config().elect(true);
                }
                Frame::plain(kind, &reply)
            }
            Kind::Vote => {
                let request: VoteRequest<u64> = frame.head()?;
                if self.catch_up.active() {
                    return Err(invalid("restored from a snapshot and not caught up: no vote"));
                }
                Frame::plain(kind, &self.raft.vote(request).await)
            }
            Kind::Snapshot => Frame::plain(kind, &self.raft.install_snapshot(frame.into_snapshot()?).await),
        }
    }
}
