//! The task that owns the zygote process: starts it when it is first needed, and again when it died.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use gannet_agent_shim::{TITLE_ROOM, VERSION, ZygoteReply, ZygoteRequest, fault};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::warn;

use crate::config::RuntimeConfig;
use crate::connection::{Receiver, Sender, split};
use crate::error::RuntimeError;

/// Forking a shim takes milliseconds; the zygote itself gives up on one after ten seconds.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// A pod that wants a shim.
pub(crate) struct Fork {
    pub(crate) pod_dir: PathBuf,
    pub(crate) done: oneshot::Sender<Result<(), RuntimeError>>,
}

struct Running {
    child: Child,
    receiver: Receiver,
    sender: Sender,
}

fn failed(what: impl ToString) -> RuntimeError {
    RuntimeError::Zygote { what: what.to_string() }
}

/// Serves until nobody can ask any more; the zygote then ends by itself, and no shim does.
pub(crate) async fn run(config: RuntimeConfig, mut requests: mpsc::Receiver<Fork>) {
    let mut running = None;
    while let Some(Fork { pod_dir, done }) = requests.recv().await {
        let request = ZygoteRequest { v: VERSION, pod_dir };
        let mut outcome = serve(&config, &mut running, &request).await;
        if running.is_none() && outcome.is_err() {
            // It may have died long ago, unnoticed until now.
            outcome = serve(&config, &mut running, &request).await;
        }
        // Who asked may have gone; the shim is there all the same, and will be found.
        let _ = done.send(outcome);
    }
}

async fn serve(
    config: &RuntimeConfig,
    running: &mut Option<Running>,
    request: &ZygoteRequest,
) -> Result<(), RuntimeError> {
    let mut zygote = match running.take() {
        Some(zygote) => zygote,
        None => spawn(config)?,
    };
    match timeout(ANSWER_TIME, exchange(&mut zygote, request)).await {
        Ok(Ok(reply)) => {
            *running = Some(zygote);
            reply.error.map_or(Ok(()), |error| Err(failed(error)))
        }
        Ok(Err(err)) => {
            warn!(error = %err, "zygote lost");
            end(zygote).await;
            Err(err)
        }
        Err(_) => {
            end(zygote).await;
            Err(failed("the zygote does not answer"))
        }
    }
}

async fn exchange(zygote: &mut Running, request: &ZygoteRequest) -> Result<ZygoteReply, RuntimeError> {
    zygote.sender.send(request).await.map_err(failed)?;
    zygote.receiver.receive().await.map_err(failed)?.ok_or_else(|| failed("the zygote is gone"))
}

async fn end(mut zygote: Running) {
    // Kills and waits, so that no zombie is left.
    if let Err(err) = zygote.child.kill().await {
        warn!(error = %err, "cannot end the zygote");
    }
}

fn spawn(config: &RuntimeConfig) -> Result<Running, RuntimeError> {
    let (ours, theirs) = StdStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let (program, args) = &config.zygote_command;
    let mut command = Command::new(program);
    // A container's first process starts from this environment, and it must be readable as text.
    command.args(args).env_clear().env(TITLE_ROOM, " ".repeat(96));
    if cfg!(debug_assertions) {
        command.envs(std::env::var_os(fault::FILE).map(|file| (fault::FILE, file)));
    }
    let child = command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|err| failed(format!("{}: {err}", program.display())))?;
    let (receiver, sender) = split(UnixStream::from_std(ours).map_err(failed)?);
    Ok(Running { child, receiver, sender })
}
