//! Asks the agent over its control socket; where none runs, looks into its folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gannet_agent_core::PodRecord;
use gannet_protocols_model::{ContainerState, ContainerStatus, PodPhase, PodStatus, PodUid};
use serde::de::DeserializeOwned;

use crate::control::{Answer, Failed, Request, addresses, to_line};
use crate::layout::Layout;
use crate::ledger::Records;

/// An agent that lives answers sooner.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A connection to the agent; `None` where none runs with this folder.
pub(super) fn connect(data_dir: &Path) -> anyhow::Result<Option<UnixStream>> {
    if !data_dir.is_dir() {
        bail!("there is no data folder {}: name the agent's with --data-dir", data_dir.display());
    }
    for address in addresses(data_dir) {
        let (Some(folder), Some(name)) = (address.parent(), address.file_name()) else { continue };
        let opened = fs::File::open(folder).and_then(|folder| {
            // As where it is bound: the folder's path may be longer than a socket's address.
            let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
            UnixStream::connect(short)
        });
        match opened {
            Ok(stream) => return Ok(Some(stream)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                bail!("{} is for root alone: run this as root, with sudo", address.display());
            }
            Err(e) => {
                return Err(e).with_context(|| format!("connect to the agent at {}", address.display()));
            }
        }
    }
    Ok(None)
}

/// Asks for one answer; `None` where no agent runs.
pub(super) fn ask<T: DeserializeOwned>(data_dir: &Path, request: &Request) -> anyhow::Result<Option<T>> {
    let Some(mut stream) = connect(data_dir)? else { return Ok(None) };
    stream.set_read_timeout(Some(ANSWER_TIME)).context("ask the agent")?;
    stream.write_all(&to_line(request)).context("ask the agent")?;
    let mut line = String::new();
    let count = BufReader::new(stream).read_line(&mut line).context("the agent does not answer")?;
    if count == 0 {
        bail!("the agent ended before it answered");
    }
    if let Ok(Failed { error }) = serde_json::from_str(&line) {
        bail!(error);
    }
    serde_json::from_str(&line)
        .map(Some)
        .context("the agent's answer does not parse; is it of another release?")
}

/// As [`ask`], where only an agent that runs can answer.
pub(super) fn ask_running<T: DeserializeOwned>(data_dir: &Path, request: &Request) -> anyhow::Result<T> {
    ask(data_dir, request)?.with_context(|| no_agent(data_dir))
}

pub(super) fn no_agent(data_dir: &Path) -> String {
    format!("no agent runs with {}: start it, or name its data folder with --data-dir", data_dir.display())
}

/// The pods of the node, and whether an agent told them.
pub(super) fn pods(data_dir: &Path) -> anyhow::Result<(Vec<PodStatus>, bool)> {
    match ask::<Answer>(data_dir, &Request::Ps)? {
        Some(answer) => Ok((answer.pods, true)),
        None => Ok((remembered(data_dir).into_values().collect(), false)),
    }
}

/// What the folder of an agent that does not run tells of its pods.
pub(super) fn remembered(data_dir: &Path) -> BTreeMap<PodUid, PodStatus> {
    let path = Layout::new(data_dir, data_dir).ledger().join("pods.json");
    let bytes = fs::read(path).unwrap_or_default();
    Records::parse(&bytes).into_iter().map(|(uid, record)| (uid.clone(), to_status(uid, record))).collect()
}

fn to_status(uid: PodUid, record: PodRecord) -> PodStatus {
    let containers = record.containers.into_iter().map(|(name, container)| ContainerStatus {
        name,
        state: match container.last.filter(|_| container.over) {
            Some(last) => ContainerState::Terminated(last),
            None => {
                ContainerState::Waiting { reason: "Unknown".to_owned(), message: "no agent runs".to_owned() }
            }
        },
        last: None,
        restart_count: container.attempts.saturating_sub(1),
        ready: false,
        started: false,
        resources: None,
        image_id: container.image.map(|image| image.digest),
        container_id: None,
    });
    PodStatus {
        uid,
        namespace: record.namespace,
        name: record.name,
        manifest: record.manifest,
        phase: PodPhase::Running,
        reason: Some("Unknown".to_owned()),
        message: None,
        ip: None,
        started_at: Some(record.first_seen),
        rolled_back: None,
        resize: None,
        init_containers: Vec::new(),
        containers: containers.collect(),
    }
}
