//! The node's DNS server: answers for service names, and asks the node's own name servers for the rest.
//!
//! Bounds: at most 256 questions under way, 2 s for a name server, 4 KiB a UDP message (RFC 6891), 64 KiB over TCP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType, rdata};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::NetError;
use crate::names::{Answer, Data, Names};
use crate::resolv::name_servers;

const QUESTIONS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(2);
const UDP_BYTES: usize = 4096;
/// Seconds that an answer may be kept: short, since pods come and go.
const TTL_SECONDS: u32 = 5;

/// What every question needs.
#[derive(Debug)]
struct Shared {
    names: RwLock<Arc<Names>>,
    resolv_conf: PathBuf,
    permits: Arc<Semaphore>,
}

/// A running DNS server; it ends with this value.
#[derive(Debug)]
pub(crate) struct Dns {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Dns {
    /// Listens at `address`; where another server has its port, at one that the kernel gives.
    pub(crate) async fn start_at_any(
        address: SocketAddr,
        resolv_conf: PathBuf,
    ) -> Result<(Self, SocketAddr), NetError> {
        match Self::start(address, resolv_conf.clone()).await {
            Err(NetError::File { source, .. }) if source.kind() == std::io::ErrorKind::AddrInUse => {
                Self::start(SocketAddr::new(address.ip(), 0), resolv_conf).await
            }
            other => other,
        }
    }

    /// Listens at `address`, UDP and TCP. Port 0 takes the port that the kernel gives for both.
    pub(crate) async fn start(
        address: SocketAddr,
        resolv_conf: PathBuf,
    ) -> Result<(Self, SocketAddr), NetError> {
        let failed = || NetError::file("bind DNS at", address.to_string());
        let udp = UdpSocket::bind(address).await.map_err(failed())?;
        let address = udp.local_addr().map_err(failed())?;
        let tcp = TcpListener::bind(address).await.map_err(failed())?;
        let shared = Arc::new(Shared {
            names: RwLock::default(),
            resolv_conf,
            permits: Arc::new(Semaphore::new(QUESTIONS)),
        });
        let stop = CancellationToken::new();
        let serve = (serve_udp(udp, shared.clone()), serve_tcp(tcp, shared.clone()));
        let stopped = stop.clone();
        // Ends with the token, which the drop of this value cancels.
        tokio::spawn(async move {
            tokio::select! { () = stopped.cancelled() => (), () = serve.0 => (), () = serve.1 => () }
        });
        Ok((Self { shared, stop }, address))
    }

    /// Replaces the names.
    pub(crate) fn set(&self, names: Names) {
        let mut held = self.shared.names.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *held = Arc::new(names);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().try_acquire_owned().ok()
    }

    /// The answer to a question, or nothing where it is no question at all.
    async fn answer(&self, question: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let names = self.names.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        match local(question, &names)? {
            Local::Answer(bytes) => Some(bytes),
            Local::Forward => match self.forward(question, tcp).await {
                Some(reply) => Some(reply),
                None => refuse(question, ResponseCode::ServFail),
            },
        }
    }

    async fn forward(&self, question: &[u8], tcp: bool) -> Option<Vec<u8>> {
        // Read anew each time: DHCP and the operator rewrite it.
        let text = tokio::fs::read_to_string(&self.resolv_conf).await.unwrap_or_default();
        for server in name_servers(&text) {
            let asked =
                async { if tcp { ask_tcp(server, question).await } else { ask_udp(server, question).await } };
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(reply)) if reply.get(..2) == question.get(..2) => return Some(reply),
                other => debug!(%server, ?other, "name server did not answer"),
            }
        }
        None
    }
}

enum Local {
    Answer(Vec<u8>),
    Forward,
}

/// Answers what the node knows. Pure.
fn local(question: &[u8], names: &Names) -> Option<Local> {
    let message = Message::from_vec(question).ok()?;
    let [query] = message.queries.as_slice() else {
        return refuse(question, ResponseCode::FormErr).map(Local::Answer);
    };
    if message.metadata.op_code != OpCode::Query {
        return refuse(question, ResponseCode::NotImp).map(Local::Answer);
    }
    let found = match names.look_up(&query.name().to_ascii()) {
        Answer::Elsewhere => return Some(Local::Forward),
        Answer::NoSuchName => None,
        Answer::Here(found) => Some(found),
    };
    let mut reply = Message::response(message.metadata.id, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.metadata.recursion_desired = message.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    if found.is_none() {
        reply.metadata.response_code = ResponseCode::NXDomain;
    }
    reply.add_query(query.clone());
    // Where there are records of other types alone, there is no data (RFC 2308, NODATA).
    for data in found.into_iter().flatten().filter_map(|data| record(data, query.query_type())) {
        reply.add_answer(Record::from_rdata(query.name().clone(), TTL_SECONDS, data));
    }
    reply.to_vec().ok().map(Local::Answer)
}

fn record(data: Data, wanted: RecordType) -> Option<RData> {
    let data = match data {
        Data::Address(ip) => RData::A(rdata::A(ip)),
        // All alike: one priority, one weight.
        Data::Service { port, target } => {
            RData::SRV(rdata::SRV::new(0, 100, port, Name::from_ascii(target).ok()?))
        }
        Data::Name(name) => RData::PTR(rdata::PTR(Name::from_ascii(name).ok()?)),
    };
    (data.record_type() == wanted).then_some(data)
}

fn refuse(question: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let message = Message::from_vec(question).ok()?;
    let mut reply = Message::error_msg(message.metadata.id, message.metadata.op_code, code);
    reply.add_queries(message.queries);
    reply.to_vec().ok()
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut questions = JoinSet::new();
    let mut buffer = vec![0; UDP_BYTES];
    loop {
        while questions.try_join_next().is_some() {}
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        // Over the bound a question is dropped; the asker tries again.
        let Some(permit) = shared.permit() else { continue };
        let (question, shared, socket) = (buffer[..length].to_vec(), shared.clone(), socket.clone());
        questions.spawn(async move {
            if let Some(reply) = shared.answer(&question, false).await {
                let _ = socket.send_to(&reply, from).await;
            }
            drop(permit);
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Some(permit) = shared.permit() else { continue };
        let shared = shared.clone();
        connections.spawn(async move {
            while let Ok(Ok(question)) = tokio::time::timeout(PATIENCE, read_framed(&mut stream)).await {
                let Some(reply) = shared.answer(&question, true).await else { break };
                if write_framed(&mut stream, &reply).await.is_err() {
                    break;
                }
            }
            drop(permit);
        });
    }
}

async fn ask_udp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut reply = vec![0; UDP_BYTES];
    let length = socket.recv(&mut reply).await?;
    reply.truncate(length);
    Ok(reply)
}

async fn ask_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, question).await?;
    read_framed(&mut stream).await
}

/// DNS over TCP has two bytes of length before each message (RFC 1035, 4.2.2).
async fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| std::io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

#[cfg(test)]
#[path = "dns_test.rs"]
mod tests;
