//! `gannet-agent logs`.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use gannet_protocols_wire::Up;
use tokio::sync::{mpsc, watch};

use super::client;
use crate::cli::LogsArgs;
use crate::control::{LogsOf, Request, find};
use crate::layout::Layout;
use crate::logs::{Source, pump};

/// Prints the log of a container.
pub(crate) fn logs(args: &LogsArgs) -> anyhow::Result<()> {
    let of = LogsOf {
        pod: args.pod.clone(),
        container: args.container.clone(),
        follow: args.follow,
        previous: args.previous,
        timestamps: args.timestamps,
        tail: args.tail,
        since: args.since_time,
        limit_bytes: args.limit_bytes,
    };
    let Some(lines) = client::ask(&args.data.data_dir, &Request::Logs(of.clone()))? else {
        return from_folder(args, &of);
    };
    let mut out = std::io::stdout().lock();
    for line in lines {
        match serde_json::from_str(&line.context("read from the agent")?).context("the agent's answer")? {
            Up::Data { data, .. } => {
                let bytes =
                    base64::engine::general_purpose::STANDARD.decode(data).context("the agent's answer")?;
                out.write_all(&bytes)?;
                out.flush()?;
            }
            Up::Close { error: Some(error) } => bail!(error),
            Up::Close { error: None } => return Ok(()),
        }
    }
    bail!("the agent ended")
}

/// No agent runs: its files are there all the same. Containers may still be running, and writing.
fn from_folder(args: &LogsArgs, of: &LogsOf) -> anyhow::Result<()> {
    let statuses = client::remembered(&args.data.data_dir);
    let request = find(&statuses, of).map_err(|e| anyhow!(e))?;
    if args.follow {
        eprintln!("no agent runs with {}: only what is there now", args.data.data_dir.display());
    }
    let (_state, statuses) = watch::channel(Arc::new(statuses));
    let source = Source { layout: Layout::new(&args.data.data_dir, &args.data.data_dir), statuses };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    runtime.block_on(async {
        let (to, mut from) = mpsc::channel(1);
        let reading = pump(source, request, to);
        let printing = async {
            let mut out = std::io::stdout();
            while let Some(chunk) = from.recv().await {
                out.write_all(&chunk?)?;
            }
            out.flush()?;
            Ok::<(), anyhow::Error>(())
        };
        tokio::join!(reading, printing).1
    })
}
