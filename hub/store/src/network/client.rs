//! The calling side: a connection for each of openraft's streams to a peer, made when it is needed, dropped on any error.

use std::io;
use std::sync::Arc;

use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::network::frame::{Frame, Kind, invalid};
use crate::raft::TypeConfig;

type Rpc<T, E> = Result<T, RPCError<u64, BasicNode, E>>;

/// Makes the callers of peers; without TLS it reaches nobody.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

pub(crate) struct Peer {
    id: u64,
    address: String,
    tls: Option<Arc<ClientConfig>>,
    /// None while a call is under way, so that a call dropped half-way leaves no half-read connection behind.
    connection: Option<TlsStream<TcpStream>>,
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer { id: target, address: node.addr.clone(), tls: self.tls.clone(), connection: None }
    }
}

impl Peer {
    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let tls = self.tls.clone().ok_or_else(|| invalid("this hub has no network to other hubs"))?;
        let (host, _) =
            self.address.rsplit_once(':').ok_or_else(|| invalid("the address is not host:port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(invalid)?;
        let socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        TlsConnector::from(tls).connect(name, socket).await
    }

    async fn call<T, E>(&mut self, frame: io::Result<Frame>) -> Rpc<T, RaftError<u64, E>>
    where
        T: DeserializeOwned,
        E: std::error::Error + DeserializeOwned + OptionalSend + 'static,
    {
        let frame = frame.map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await.map_err(|e| {
                tracing::debug!(peer.id = self.id, peer.address = self.address, error = %e, "cannot connect");
                RPCError::Unreachable(Unreachable::new(&e))
            })?,
        };
        let reply: Result<T, RaftError<u64, E>> =
            exchange(&mut connection, &frame).await.map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        self.connection = Some(connection);
        reply.map_err(|e| RPCError::RemoteError(RemoteError::new(self.id, e)))
    }
}

async fn exchange<T: DeserializeOwned>(
    connection: &mut TlsStream<TcpStream>,
    frame: &Frame,
) -> io::Result<T> {
    frame.write(connection).await?;
    let reply = Frame::read(connection).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    if reply.kind == frame.kind { reply.head() } else { Err(invalid("the reply is to another request")) }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<u64>, RaftError<u64>> {
        self.call(Frame::append(&request)).await
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Rpc<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>> {
        self.call(Frame::snapshot(request)).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Rpc<VoteResponse<u64>, RaftError<u64>> {
        self.call(Frame::plain(Kind::Vote, &request)).await
    }
}
