//! The control socket: what this node runs, and its logs, for whoever is root here. JSON, a line a message.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use gannet_protocols_model::{Generation, NodeInfo, NodeName, PodStatus, PodUid, Timestamp};
use gannet_protocols_wire::{LogRequest, Up};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::executor::chain;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::logs::{Source, pump};

/// A request is shorter.
const MAX_REQUEST: u64 = 64 << 10;
/// Terminals at a time.
const MAX_CLIENTS: usize = 32;
/// Chunks of a log between the disk and the socket.
const CHUNKS: usize = 2;

/// What is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// The node and its pods. Answer: one [`Answer`].
    Ps,
    /// A log. Answer: [`Up`] frames, as over the link.
    Logs(LogsOf),
}

/// A log by names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LogsOf {
    /// `NAME`, `NAMESPACE/NAME` or uid.
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
    pub(crate) follow: bool,
    pub(crate) previous: bool,
    pub(crate) timestamps: bool,
    pub(crate) tail: Option<u64>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) limit_bytes: Option<u64>,
}

/// The node and its pods.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) node: NodeName,
    pub(crate) generation: Generation,
    /// Bytes that the ledger wrote to flash since the agent's start.
    pub(crate) ledger_bytes_written: u64,
    pub(crate) info: NodeInfo,
    pub(crate) pods: Vec<PodStatus>,
}

/// Serves the socket.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) node: NodeName,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) info: watch::Receiver<NodeInfo>,
    pub(crate) logs: Source,
}

/// Makes the socket: readable by its owner from the first moment, whatever the length of its path.
pub(crate) fn bind(layout: &Layout) -> io::Result<UnixListener> {
    // A socket's address has 108 bytes at most; a descriptor's path is short. The ledger's folder is the owner's alone.
    let folder = fs::File::open(layout.ledger())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let hidden = layout.ledger().join(Layout::SOCKET);
    match fs::remove_file(&hidden) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(short.join(Layout::SOCKET))?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))?;
    fs::rename(&hidden, layout.data.join(Layout::SOCKET))?;
    Ok(listener)
}

impl Control {
    pub(crate) async fn run(self, listener: UnixListener, stop: CancellationToken) {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if clients.len() < MAX_CLIENTS => match accepted {
                    Ok((stream, _)) => {
                        let control = self.clone();
                        clients.spawn(async move {
                            // A client that went away is no error of ours.
                            let _ = control.serve(stream).await;
                        });
                    }
                    Err(error) => {
                        warn!(%error, "control socket");
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                },
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut line = String::new();
        BufReader::new(read.take(MAX_REQUEST)).read_line(&mut line).await?;
        match serde_json::from_str(&line) {
            Ok(Request::Ps) => write.write_all(&to_line(&self.answer())).await,
            Ok(Request::Logs(of)) => self.logs(&of, &mut write).await,
            Err(error) => write.write_all(&to_line(&Up::Close { error: Some(error.to_string()) })).await,
        }
    }

    fn answer(&self) -> Answer {
        let statuses = self.logs.statuses.borrow().clone();
        Answer {
            node: self.node.clone(),
            generation: self.ledger.desired().map_or(Generation(0), |(desired, _)| desired.generation),
            ledger_bytes_written: self.ledger.bytes_written(),
            info: self.info.borrow().clone(),
            pods: statuses.values().cloned().collect(),
        }
    }

    async fn logs(&self, of: &LogsOf, write: &mut (impl tokio::io::AsyncWrite + Unpin)) -> io::Result<()> {
        let statuses = self.logs.statuses.borrow().clone();
        let request = match find(&statuses, of) {
            Ok(request) => request,
            Err(error) => return write.write_all(&to_line(&Up::Close { error: Some(error) })).await,
        };
        let (to, mut from) = mpsc::channel(CHUNKS);
        let reading = pump(self.logs.clone(), request, to);
        let sending = async move {
            let mut error = None;
            let mut seq = 0;
            while let Some(chunk) = from.recv().await {
                match chunk {
                    Ok(bytes) => {
                        write.write_all(&to_line(&Up::data(seq, &bytes))).await?;
                        seq += 1;
                    }
                    Err(why) => error = Some(chain(&why)),
                }
            }
            write.write_all(&to_line(&Up::Close { error })).await
        };
        tokio::join!(reading, sending).1
    }
}

/// The log that is meant.
pub(crate) fn find(statuses: &BTreeMap<PodUid, PodStatus>, of: &LogsOf) -> Result<LogRequest, String> {
    let named = |status: &&PodStatus| match of.pod.split_once('/') {
        Some((namespace, name)) => status.namespace == namespace && status.name == name,
        None => status.name == of.pod || status.uid.as_str() == of.pod,
    };
    let found: Vec<&PodStatus> = statuses.values().filter(named).collect();
    let pod = match found.as_slice() {
        [pod] => *pod,
        [] => return Err(format!("pod {:?} is not on this node", of.pod)),
        _ => return Err(format!("pod {:?} is in more than one namespace: say NAMESPACE/NAME", of.pod)),
    };
    let container = match (&of.container, pod.containers.as_slice()) {
        (Some(name), _) => name.clone(),
        (None, [only]) => only.name.clone(),
        (None, many) => {
            let names: Vec<&str> = many.iter().map(|c| c.name.as_str()).collect();
            return Err(format!(
                "pod {:?} has several containers: choose one of {} with -c",
                of.pod,
                names.join(", ")
            ));
        }
    };
    Ok(LogRequest {
        pod: pod.uid.clone(),
        container,
        follow: of.follow,
        previous: of.previous,
        timestamps: of.timestamps,
        tail: of.tail,
        since: of.since,
        limit_bytes: of.limit_bytes,
    })
}

/// One message and its end.
pub(crate) fn to_line<T: Serialize>(message: &T) -> Vec<u8> {
    // Messages are made of strings and numbers: they always serialize.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}
