//! `gannet-agent logs`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use gannet_protocols_model::{PodStatus, PodUid, Timestamp};
use gannet_protocols_wire::Up;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use super::client;
use crate::cli::LogsArgs;
use crate::clock::wall;
use crate::control::{LogsOf, Request, container_named, pod_named, to_line};
use crate::layout::Layout;
use crate::logs::{Chunk, Source, pump};

/// Chunks of logs that wait for the terminal.
const CHUNKS: usize = 4;
/// A longer line is printed in parts.
const LONGEST_LINE: usize = 1 << 20;

/// Bytes of one of the logs, or why there are no more.
type Part = (usize, anyhow::Result<Vec<u8>>);

/// Prints the log of a container, or of all.
pub(crate) fn logs(args: &LogsArgs) -> anyhow::Result<()> {
    let data_dir = &args.data.data_dir;
    let (pods, agent) = client::pods(data_dir)?;
    let pod = pod_named(&pods, &args.pod).map_err(|e| anyhow!(e))?;
    let names = containers(args, pod)?;
    let prefixes: Vec<Vec<u8>> = names
        .iter()
        .map(|name| if args.prefix { format!("[pod/{}/{name}] ", pod.name).into_bytes() } else { Vec::new() })
        .collect();
    if !agent && args.follow {
        eprintln!("no agent runs with {}: only what is there now", data_dir.display());
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    let outcome = runtime.block_on(async {
        let (to, from) = mpsc::channel(CHUNKS);
        let reading = async {
            let each = names.iter().enumerate().map(|(index, name)| {
                let of = wanted(args, pod, name);
                let to = to.clone();
                async move {
                    let outcome = match agent {
                        true => from_agent(data_dir, of, index, &to).await,
                        false => from_folder(data_dir, pod, of, index, &to).await,
                    };
                    if let Err(error) = outcome {
                        let _ = to.send((index, Err(error))).await;
                    }
                }
            });
            if args.follow {
                let all: Vec<_> = each.map(Box::pin).collect();
                join_all(all).await;
            } else {
                for one in each {
                    one.await;
                }
            }
            drop(to);
        };
        tokio::join!(reading, print(from, prefixes)).1
    });
    runtime.shutdown_background();
    outcome
}

/// Waits for all of a few; none is spawned, so that they may borrow.
async fn join_all<F: Future<Output = ()> + Unpin>(mut all: Vec<F>) {
    std::future::poll_fn(|context| {
        all.retain_mut(|one| std::pin::Pin::new(one).poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn containers(args: &LogsArgs, pod: &PodStatus) -> anyhow::Result<Vec<String>> {
    if args.all_containers {
        return Ok(pod.init_containers.iter().chain(&pod.containers).map(|c| c.name.clone()).collect());
    }
    let (name, note) = container_named(pod, args.container.as_deref()).map_err(|e| anyhow!(e))?;
    if let Some(note) = note {
        eprintln!("{note}");
    }
    Ok(vec![name])
}

fn wanted(args: &LogsArgs, pod: &PodStatus, container: &str) -> LogsOf {
    LogsOf {
        pod: pod.uid.to_string(),
        container: Some(container.to_owned()),
        follow: args.follow,
        previous: args.previous,
        timestamps: args.timestamps,
        tail: args.tail,
        since: args.since_time.or_else(|| args.since.map(|since| before(wall(), since))),
        limit_bytes: args.limit_bytes,
    }
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

async fn from_agent(
    data_dir: &Path,
    of: LogsOf,
    index: usize,
    to: &mpsc::Sender<Part>,
) -> anyhow::Result<()> {
    let stream = client::connect(data_dir)?.context("the agent ended")?;
    stream.set_nonblocking(true)?;
    let (read, mut write) = UnixStream::from_std(stream)?.into_split();
    write.write_all(&to_line(&Request::Logs(of))).await.context("ask the agent")?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await.context("read from the agent")? {
        match serde_json::from_str(&line).context("the agent's answer")? {
            Up::Data { data, .. } => {
                let bytes =
                    base64::engine::general_purpose::STANDARD.decode(data).context("the agent's answer")?;
                if to.send((index, Ok(bytes))).await.is_err() {
                    return Ok(());
                }
            }
            Up::Close { error: Some(error) } => bail!(error),
            Up::Close { error: None } => return Ok(()),
        }
    }
    bail!("the agent ended")
}

/// No agent runs: its files are there all the same. Containers may still be running, and writing.
async fn from_folder(
    data_dir: &Path,
    pod: &PodStatus,
    of: LogsOf,
    index: usize,
    to: &mpsc::Sender<Part>,
) -> anyhow::Result<()> {
    let request = of.request(pod.uid.clone(), of.container.clone().unwrap_or_default());
    let statuses: BTreeMap<PodUid, PodStatus> = BTreeMap::from([(pod.uid.clone(), pod.clone())]);
    let (_state, statuses) = watch::channel(Arc::new(statuses));
    let source = Source { layout: Layout::new(data_dir, data_dir), statuses };
    let (chunks, mut from) = mpsc::channel::<Chunk>(1);
    let passing = async {
        while let Some(chunk) = from.recv().await {
            if to.send((index, chunk.map_err(anyhow::Error::new))).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(pump(source, request, chunks), passing);
    Ok(())
}

/// Prints whole lines, so that those of several containers do not run into each other.
async fn print(mut from: mpsc::Receiver<Part>, prefixes: Vec<Vec<u8>>) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let plain = prefixes.len() == 1 && prefixes[0].is_empty();
    let mut begun: Vec<Vec<u8>> = vec![Vec::new(); prefixes.len()];
    let mut failed = None;
    while let Some((index, part)) = from.recv().await {
        let bytes = match part {
            Ok(bytes) => bytes,
            Err(error) => {
                // The others' logs are still wanted.
                failed.get_or_insert(error);
                continue;
            }
        };
        if plain {
            out.write_all(&bytes)?;
        } else {
            for piece in bytes.split_inclusive(|b| *b == b'\n') {
                let line = &mut begun[index];
                line.extend_from_slice(piece);
                if line.ends_with(b"\n") || line.len() > LONGEST_LINE {
                    out.write_all(&prefixes[index])?;
                    out.write_all(&std::mem::take(line))?;
                }
            }
        }
        out.flush()?;
    }
    for (prefix, line) in prefixes.iter().zip(&begun).filter(|(_, line)| !line.is_empty()) {
        out.write_all(&[prefix.as_slice(), line].concat())?;
    }
    out.flush()?;
    failed.map_or(Ok(()), Err)
}
