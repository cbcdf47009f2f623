//! Serves the control socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_model::{Generation, NodeInfo, NodeName, NodeUsage};
use gannet_protocols_wire::{LogRequest, Up};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::event_ring::EventRing;
use super::exec::exec;
use super::find::{container_named, pod_named};
use super::protocol::{Answer, Described, Failed, LogsOf, PodOf, Request, to_line};
use crate::executor::{Tools, chain};
use crate::logs::{Source, pump};
use crate::usage::{FRESH, UsageSource};

/// A request is shorter.
const MAX_REQUEST: u64 = 64 << 10;
/// Terminals at a time.
const MAX_CLIENTS: usize = 32;
/// Who says nothing for so long is put off, lest idle ones keep others out.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Chunks of a log between the disk and the socket.
const CHUNKS: usize = 2;

/// Serves the socket.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) node: NodeName,
    pub(crate) tools: Arc<Tools>,
    pub(crate) info: watch::Receiver<NodeInfo>,
    pub(crate) logs: Source,
    pub(crate) events: EventRing,
    pub(crate) usage: UsageSource,
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
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        // The socket's mode says so already; who got a descriptor of it some other way is not served either.
        let root = stream.peer_cred()?.uid() == 0;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut line = String::new();
        let mut bounded = (&mut read).take(MAX_REQUEST);
        timeout(REQUEST_TIME, bounded.read_line(&mut line)).await??;
        let failed = |error: String| to_line(&Failed { error });
        if !root {
            return write.write_all(&failed("only root may ask".to_owned())).await;
        }
        match serde_json::from_str(&line) {
            Ok(Request::Ps) => write.write_all(&to_line(&self.answer())).await,
            Ok(Request::Logs(of)) => self.logs(&of, &mut write).await,
            Ok(Request::Describe(of)) => {
                let answer = self.describe(&of).await.map_or_else(failed, |described| to_line(&described));
                write.write_all(&answer).await
            }
            Ok(Request::Stats) => {
                let answer = self.stats().await.map_or_else(failed, |usage| to_line(&*usage));
                write.write_all(&answer).await
            }
            Ok(Request::Exec(of)) => {
                info!(
                    pod = of.pod,
                    container = of.container,
                    program = of.argv.first(),
                    tty = of.tty.is_some(),
                    "command"
                );
                let statuses = self.logs.statuses.borrow().clone();
                exec(&self.tools, statuses.values(), of, read, write).await
            }
            Err(error) => {
                write.write_all(&failed(format!("this agent does not know the request: {error}"))).await
            }
        }
    }

    fn answer(&self) -> Answer {
        let statuses = self.logs.statuses.borrow().clone();
        let ledger = &self.tools.ledger;
        Answer {
            node: self.node.clone(),
            generation: ledger.desired().map_or(Generation(0), |(desired, _)| desired.generation),
            ledger_bytes_written: ledger.bytes_written(),
            info: self.info.borrow().clone(),
            pods: statuses.values().cloned().collect(),
        }
    }

    async fn describe(&self, of: &PodOf) -> Result<Described, String> {
        let statuses = self.logs.statuses.borrow().clone();
        let status = pod_named(statuses.values(), &of.pod)?.clone();
        let desired = self.tools.ledger.desired();
        let entry = desired.and_then(|(d, _)| d.pods.iter().find(|p| p.uid == status.uid).cloned());
        let (tools, digest) = (Arc::clone(&self.tools), status.manifest);
        let manifest = tokio::task::spawn_blocking(move || tools.ledger.manifest(&digest)).await;
        let events = self.events.of(&status.uid);
        Ok(Described {
            node: self.node.clone(),
            node_address: self.info.borrow().address,
            entry,
            manifest: manifest.ok().flatten().map(|m| (*m).clone()),
            events,
            devices: crate::devices::of_pod(&self.tools.devices, &status.uid),
            status,
        })
    }

    async fn stats(&self) -> Result<Arc<NodeUsage>, String> {
        self.usage.latest(FRESH).await.map_err(|error| chain(&error))
    }

    async fn logs(&self, of: &LogsOf, write: &mut OwnedWriteHalf) -> io::Result<()> {
        let request = match self.log_request(of) {
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

    fn log_request(&self, of: &LogsOf) -> Result<LogRequest, String> {
        let statuses = self.logs.statuses.borrow().clone();
        let pod = pod_named(statuses.values(), &of.pod)?;
        let (container, _) = container_named(pod, of.container.as_deref())?;
        Ok(of.request(pod.uid.clone(), container))
    }
}

impl LogsOf {
    /// As it is asked of the log's reader.
    pub(crate) fn request(&self, pod: gannet_protocols_model::PodUid, container: String) -> LogRequest {
        LogRequest {
            pod,
            container,
            follow: self.follow,
            previous: self.previous,
            timestamps: self.timestamps,
            tail: self.tail,
            since: self.since,
            limit_bytes: self.limit_bytes,
        }
    }
}
