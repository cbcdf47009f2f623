//! Brings a log to whoever asked: the hub over a stream, or a terminal over the control socket.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_model::{ContainerState, ContainerStatus, PodStatus, PodUid};
use gannet_protocols_wire::{LogRequest, MAX_DATA_BYTES};
use tokio::sync::{mpsc, watch};

use super::reader::{LogReader, Options, Step};
use crate::layout::Layout;

/// How often a log that is followed is looked at: people do not see the delay, and an idle look costs two system calls.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) type Statuses = Arc<BTreeMap<PodUid, PodStatus>>;

/// The next bytes, or why there are no more.
pub(crate) type Chunk = Result<Vec<u8>, LogError>;

/// Why a log cannot be read. Sentences are those of kubelet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("pod {pod} is not on this node")]
    NoPod { pod: PodUid },
    #[error("container \"{container}\" in pod \"{pod}\" is not valid: the pod has {known}")]
    NoContainer { container: String, pod: String, known: String },
    #[error("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")]
    Waiting { container: String, pod: String, reason: String },
    #[error("container \"{container}\" in pod \"{pod}\" has not run")]
    NoRun { container: String, pod: String },
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious { container: String, pod: String },
    #[error("log of container {container} cannot be read")]
    Read {
        container: String,
        #[source]
        source: io::Error,
    },
}

/// Where logs and states come from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) layout: Layout,
    pub(crate) statuses: watch::Receiver<Statuses>,
}

/// Sends a log in chunks of at most [`MAX_DATA_BYTES`] until its end, or until nobody listens.
pub(crate) async fn pump(source: Source, request: LogRequest, to: mpsc::Sender<Chunk>) {
    if let Err(error) = run(&source, &request, &to).await {
        // Whoever asked may have gone; then nobody needs to know.
        let _ = to.send(Err(error)).await;
    }
}

async fn run(source: &Source, request: &LogRequest, to: &mpsc::Sender<Chunk>) -> Result<(), LogError> {
    let attempt = find(source, request)?;
    let path = source.layout.log(&request.pod, &request.container, attempt);
    let LogRequest { timestamps, tail, since, limit_bytes, .. } = *request;
    let options = Options { timestamps, tail, since, limit_bytes };
    let failed = |e| LogError::Read { container: request.container.clone(), source: e };
    let mut reader = blocking(move || LogReader::open(&path, options)).await.map_err(failed)?;
    loop {
        // Asked before the read: what is written until the end is then read for certain.
        let runs_on = request.follow && !request.previous && is_running(source, request, attempt);
        let (step, back) = blocking(move || {
            let step = reader.next(MAX_DATA_BYTES)?;
            Ok((step, reader))
        })
        .await
        .map_err(failed)?;
        reader = back;
        match step {
            Step::Data(bytes) => {
                for part in bytes.chunks(MAX_DATA_BYTES) {
                    if to.send(Ok(part.to_vec())).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Step::Done => return Ok(()),
            Step::AtEnd if !runs_on => return Ok(()),
            Step::AtEnd => tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = to.closed() => return Ok(()),
            },
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// The run whose log is wanted.
fn find(source: &Source, request: &LogRequest) -> Result<u32, LogError> {
    let statuses = source.statuses.borrow().clone();
    let pod = statuses.get(&request.pod).ok_or_else(|| LogError::NoPod { pod: request.pod.clone() })?;
    let container = container(pod, &request.container).ok_or_else(|| {
        let names: Vec<&str> =
            pod.init_containers.iter().chain(&pod.containers).map(|c| c.name.as_str()).collect();
        let (container, known) = (request.container.clone(), names.join(", "));
        LogError::NoContainer { container, pod: pod.name.clone(), known }
    })?;
    let (name, pod_name) = (request.container.clone(), pod.name.clone());
    // A run that has written nothing has no file. What an agent remembers of pods without having seen them run counts
    // no runs, and then the files tell.
    let ran = !matches!(container.state, ContainerState::Waiting { .. }) && container.container_id.is_some();
    let current = if ran { Some(container.restart_count) } else { newest_attempt(&source.layout, request) };
    if !request.previous {
        return current.ok_or_else(|| match &container.state {
            ContainerState::Waiting { reason, .. } => {
                LogError::Waiting { container: name, pod: pod_name, reason: reason.clone() }
            }
            _ => LogError::NoRun { container: name, pod: pod_name },
        });
    }
    // As kubelet: the run before this one, or, while the next has not begun, the last.
    let waits = matches!(container.state, ContainerState::Waiting { .. }) && container.last.is_some();
    let previous = current.and_then(|attempt| if waits { Some(attempt) } else { attempt.checked_sub(1) });
    let was = |attempt: &u32| {
        container.last.is_some() || source.layout.log(&request.pod, &request.container, *attempt).exists()
    };
    previous.filter(was).ok_or(LogError::NoPrevious { container: name, pod: pod_name })
}

fn container<'a>(pod: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    pod.init_containers.iter().chain(&pod.containers).find(|c| c.name == name)
}

fn newest_attempt(layout: &Layout, request: &LogRequest) -> Option<u32> {
    let entries = fs::read_dir(layout.logs(&request.pod, &request.container)).ok()?;
    let attempts = entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".log")?.parse().ok());
    attempts.max()
}

fn is_running(source: &Source, request: &LogRequest, attempt: u32) -> bool {
    let statuses = source.statuses.borrow();
    let status = statuses.get(&request.pod).and_then(|pod| container(pod, &request.container));
    status.is_some_and(|c| matches!(c.state, ContainerState::Running { .. }) && c.restart_count == attempt)
}

#[cfg(test)]
#[path = "task_test.rs"]
mod tests;
