//! Asks the agent over its control socket; where none runs, looks into its folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context as _;
use gannet_agent_core::PodRecord;
use gannet_protocols_model::{ContainerState, ContainerStatus, PodPhase, PodStatus, PodUid};

use crate::control::{Request, to_line};
use crate::layout::Layout;

/// A connection to the agent; `None` where none runs with this folder.
pub(super) fn ask(
    data_dir: &Path,
    request: &Request,
) -> anyhow::Result<Option<Lines<BufReader<UnixStream>>>> {
    let folder =
        fs::File::open(data_dir).with_context(|| format!("open the data folder {}", data_dir.display()))?;
    // As in `control::bind`: the folder's path may be longer than a socket's address.
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(Layout::SOCKET);
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(e) => return Err(e).context("connect to the agent"),
    };
    stream.write_all(&to_line(request)).context("ask the agent")?;
    Ok(Some(BufReader::new(stream).lines()))
}

/// What the folder of an agent that does not run tells of its pods.
pub(super) fn remembered(data_dir: &Path) -> BTreeMap<PodUid, PodStatus> {
    let path = Layout::new(data_dir, data_dir).ledger().join("pods.json");
    let bytes = fs::read(path).unwrap_or_default();
    let records: BTreeMap<PodUid, PodRecord> = serde_json::from_slice(&bytes).unwrap_or_default();
    records.into_iter().map(|(uid, record)| (uid.clone(), to_status(uid, record))).collect()
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
