//! The cgroup of a container or pod, in whatever hierarchies this machine has: v1, hybrid or v2.
//!
//! libcontainer makes a container's cgroup and moves it in; what must be read, removed or killed there is done here. A path
//! is relative to the root of each hierarchy, such as `/gannet/POD-UID/CONTAINER`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A killed process needs a moment until its cgroup lets go of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since it was created.
    pub cpu_nanos: u64,
    /// Memory that cannot be taken back without swapping.
    pub memory_bytes: u64,
}

struct Hierarchy {
    mount: PathBuf,
    unified: bool,
    options: String,
}

fn hierarchies() -> Vec<Hierarchy> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in table.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut right = right.split(' ');
        let unified = match right.next() {
            Some("cgroup") => false,
            Some("cgroup2") => true,
            _ => continue,
        };
        let options = right.nth(1).unwrap_or_default().to_owned();
        let Some(mount) = left.split(' ').nth(4) else { continue };
        if !found.iter().any(|h| h.mount == Path::new(mount)) {
            found.push(Hierarchy { mount: mount.into(), unified, options });
        }
    }
    found
}

fn below(mount: &Path, cgroup: &str) -> PathBuf {
    mount.join(cgroup.trim_start_matches('/'))
}

/// Where a cgroup has a controller's files.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    /// They are those of v2.
    pub(crate) unified: bool,
}

/// The directory of this cgroup that has this controller's files.
pub(crate) fn controller(name: &str, cgroup: &str) -> Option<Place> {
    let all = hierarchies();
    let v1 = all.iter().find(|h| !h.unified && h.options.split(',').any(|o| o == name));
    let place = |h: &Hierarchy| Place { dir: below(&h.mount, cgroup), unified: h.unified };
    v1.or_else(|| all.iter().find(|h| h.unified)).map(place)
}

/// Makes this cgroup, which has no processes of its own, wherever processor and memory are controlled.
pub(crate) fn ensure(cgroup: &str) -> io::Result<()> {
    for name in ["cpu", "memory"] {
        let Some(place) = controller(name, cgroup) else { continue };
        if place.unified {
            enable(cgroup)?;
        }
        fs::create_dir_all(&place.dir)?;
    }
    Ok(())
}

/// On the unified hierarchy a controller's files appear where the parent hands it on.
fn enable(cgroup: &str) -> io::Result<()> {
    let Some(root) = hierarchies().into_iter().find(|h| h.unified).map(|h| h.mount) else { return Ok(()) };
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let mut dir = root;
    for part in cgroup.split('/').filter(|part| !part.is_empty()) {
        for controller in controllers.split_ascii_whitespace() {
            // Some cannot be handed on, as those of real time; a limit that needs one fails when it is set.
            let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        dir.push(part);
        match fs::create_dir(&dir) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(err),
            _ => {}
        }
    }
    Ok(())
}

/// Those hierarchies of v1 in which libcontainer makes a container's cgroup.
const USED: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// For a container whose process namespace is not new: the directories of this cgroup in the hierarchies of v1, and the names
/// under which they belong below `/sys/fs/cgroup`. libcontainer takes a pid in such a namespace for one of the host there.
pub(crate) fn shown(cgroup: &str) -> Vec<(String, PathBuf)> {
    let mut shown = Vec::new();
    for hierarchy in hierarchies().into_iter().filter(|h| !h.unified) {
        let Some(name) = hierarchy.mount.file_name().and_then(|name| name.to_str()) else { continue };
        if !name.split(',').any(|part| USED.contains(&part)) {
            continue;
        }
        // "cpu,cpuacct" is also looked for as either.
        let names = [name].into_iter().chain(name.split(',').filter(|part| *part != name));
        shown.extend(names.map(|name| (name.to_owned(), below(&hierarchy.mount, cgroup))));
    }
    shown
}

/// Moves a process into this cgroup, which is there, in every hierarchy.
pub(crate) fn join(cgroup: &str, pid: i32) -> io::Result<()> {
    for hierarchy in hierarchies() {
        let file = below(&hierarchy.mount, cgroup).join("cgroup.procs");
        if file.exists() {
            fs::write(&file, pid.to_string())
                .map_err(|err| io::Error::new(err.kind(), format!("{}: {err}", file.display())))?;
        }
    }
    Ok(())
}

/// Kills everything in this cgroup and below.
pub(crate) fn kill_in(cgroup: &str) {
    for hierarchy in hierarchies() {
        kill_all(&below(&hierarchy.mount, cgroup));
    }
}

/// The number behind a word, as in `oom_kill 3`.
fn field(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

/// How many processes of this cgroup the kernel killed because its memory was used up.
pub(crate) fn oom_kills(cgroup: &str) -> u64 {
    let Some(Place { dir, unified }) = controller("memory", cgroup) else { return 0 };
    let file = dir.join(if unified { "memory.events" } else { "memory.oom_control" });
    fs::read_to_string(file).ok().and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
}

/// Limits the number of processes.
pub(crate) fn set_pids_max(cgroup: &str, limit: i64) -> io::Result<()> {
    let missing = || io::Error::other("no hierarchy has the pids controller");
    fs::write(controller("pids", cgroup).ok_or_else(missing)?.dir.join("pids.max"), limit.to_string())
}

/// This cgroup's directory where its devices are not controlled by files: on the unified hierarchy.
pub(crate) fn unified_devices(cgroup: &str) -> Option<PathBuf> {
    controller("devices", cgroup).filter(|place| place.unified).map(|place| place.dir)
}

/// What this cgroup uses; none where it is gone.
pub fn usage(cgroup: &str) -> Option<Usage> {
    let read = |path: PathBuf| fs::read_to_string(path).ok();
    let number = |path: PathBuf| read(path)?.trim().parse::<u64>().ok();
    let Place { dir: cpu, unified: cpu_unified } = controller("cpuacct", cgroup)?;
    let cpu_nanos = if cpu_unified {
        field(&read(cpu.join("cpu.stat"))?, "usage_usec")? * 1000
    } else {
        number(cpu.join("cpuacct.usage"))?
    };
    let Place { dir: memory, unified } = controller("memory", cgroup)?;
    let current = number(memory.join(if unified { "memory.current" } else { "memory.usage_in_bytes" }))?;
    let cache = if unified { "inactive_file" } else { "total_inactive_file" };
    let inactive = read(memory.join("memory.stat")).and_then(|text| field(&text, cache)).unwrap_or(0);
    Some(Usage { cpu_nanos, memory_bytes: current.saturating_sub(inactive) })
}

/// Kills everything in this cgroup and below, then removes it from every hierarchy. Safe to call again, and where nothing
/// is.
pub(crate) fn remove(cgroup: &str) -> io::Result<()> {
    let dirs = hierarchies()
        .into_iter()
        .map(|h| below(&h.mount, cgroup))
        .filter(|dir| dir.exists())
        .collect::<Vec<_>>();
    let deadline = Instant::now() + PATIENCE;
    for dir in &dirs {
        loop {
            kill_all(dir);
            match remove_tree(dir) {
                Ok(()) => break,
                Err(err) if Instant::now() > deadline => {
                    return Err(io::Error::other(format!("cannot remove cgroup {}: {err}", dir.display())));
                }
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }
    Ok(())
}

fn children(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path())
}

fn kill_all(dir: &Path) {
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in procs.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid > 0) {
        // A pid is used again only once its process left the cgroup; what this reads was in it a moment ago.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    children(dir).for_each(|child| kill_all(&child));
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for child in children(dir) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(v1, "oom_kill"), Some(3));
        assert_eq!(field("low 0\noom 2\noom_kill 1\noom_group_kill 0\n", "oom_kill"), Some(1));
        assert_eq!(field("", "oom_kill"), None);
    }

    #[test]
    fn nothing_to_remove() {
        remove("/gannet/no-such-pod/no-such-container").unwrap();
    }
}
