//! A bound for the logs of all containers together. Each container's own bound is the shim's matter.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gannet_protocols_model::{ByteSize, ContainerState, PodStatus, PodUid};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::task::Statuses;
use crate::config::Logs;
use crate::layout::Layout;
use crate::node_info::disk_space;

/// How often the logs are summed up. Meanwhile no container can add more than its own bound.
const PERIOD: Duration = Duration::from_secs(30);

/// How much a log file is needed: what is needed least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// Left behind by a rotation.
    Rotated,
    /// Of a run before the last.
    Previous,
    /// Of the last run of a container that has ended.
    Ended,
    /// A running container writes to it.
    Current,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LogFile {
    need: Need,
    modified: SystemTime,
    size: u64,
    path: PathBuf,
}

/// Frees room until the logs of all pods take no more than they may, now and then, until it is told to stop.
pub(crate) async fn keep_below(
    settings: Logs,
    layout: Layout,
    statuses: watch::Receiver<Statuses>,
    stop: CancellationToken,
) {
    let disk = disk_space(&layout.data).map_or(u64::MAX, |(size, _)| size);
    let limit = settings.total_of(ByteSize(disk)).0;
    loop {
        let (layout, statuses) = (layout.clone(), statuses.borrow().clone());
        match tokio::task::spawn_blocking(move || enforce(limit, &layout, &statuses)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(freed)) => info!(freed, limit, "logs of all pods took too much: the oldest are removed"),
            Ok(Err(error)) => warn!(%error, "logs are not kept below their bound"),
            Err(error) => warn!(%error, "logs are not kept below their bound"),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Frees what is too much; gives how many bytes that was.
fn enforce(limit: u64, layout: &Layout, statuses: &BTreeMap<PodUid, PodStatus>) -> io::Result<u64> {
    let mut freed = 0;
    for file in superfluous(gather(layout, statuses)?, limit) {
        let gone = match file.need {
            // Its writer has it open: removed, it would take its room all the same.
            Need::Current | Need::Ended => fs::OpenOptions::new().write(true).open(&file.path)?.set_len(0),
            Need::Rotated | Need::Previous => fs::remove_file(&file.path),
        };
        match gone {
            Ok(()) => freed += file.size,
            // Rotated or removed meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(freed)
}

/// What has to go: the least needed first, of these the oldest.
fn superfluous(mut files: Vec<LogFile>, limit: u64) -> Vec<LogFile> {
    let mut total: u64 = files.iter().map(|file| file.size).sum();
    files.sort_by(|a, b| (a.need, a.modified, &a.path).cmp(&(b.need, b.modified, &b.path)));
    let mut gone = Vec::new();
    for file in files {
        if total <= limit {
            break;
        }
        total -= file.size;
        gone.push(file);
    }
    gone
}

fn gather(layout: &Layout, statuses: &BTreeMap<PodUid, PodStatus>) -> io::Result<Vec<LogFile>> {
    let mut files = Vec::new();
    for (pod, folder) in folders(&layout.pods())? {
        let Ok(uid) = pod.parse::<PodUid>() else { continue };
        let status = statuses.get(&uid);
        for (container, folder) in folders(&folder.join("logs"))? {
            files.extend(of_container(&folder, is_running(status, &container))?);
        }
    }
    Ok(files)
}

/// A pod of which nothing is known is taken to run.
fn is_running(status: Option<&PodStatus>, container: &str) -> bool {
    let Some(status) = status else { return true };
    let found = status.init_containers.iter().chain(&status.containers).find(|c| c.name == container);
    found.is_some_and(|c| matches!(c.state, ContainerState::Running { .. }))
}

fn folders(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        other => other?,
    };
    Ok(entries.flatten().filter_map(|e| Some((e.file_name().into_string().ok()?, e.path()))).collect())
}

/// The files of one container: `RUN.log`, `RUN.log.1` and so on.
fn of_container(dir: &Path, running: bool) -> io::Result<Vec<LogFile>> {
    let mut found: Vec<(u32, bool, LogFile)> = Vec::new();
    for (name, path) in folders(dir)? {
        let Some((run, rotated)) = name.split_once(".log") else { continue };
        let Ok(run) = run.parse::<u32>() else { continue };
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if !meta.is_file() {
            continue;
        }
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let file = LogFile { need: Need::Rotated, modified, size: meta.len(), path };
        found.push((run, !rotated.is_empty(), file));
    }
    let newest = found.iter().map(|(run, ..)| *run).max();
    let need = |run: u32, rotated: bool| match (rotated, Some(run) == newest, running) {
        (true, ..) => Need::Rotated,
        (false, false, _) => Need::Previous,
        (false, true, false) => Need::Ended,
        (false, true, true) => Need::Current,
    };
    Ok(found.into_iter().map(|(run, rotated, file)| LogFile { need: need(run, rotated), ..file }).collect())
}

#[cfg(test)]
#[path = "cap_test.rs"]
mod tests;
