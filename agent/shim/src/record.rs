//! What lies on disk so that another shim or a new agent can carry on: written whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use oci_spec::runtime::LinuxResources;

use crate::kernel::namespaces::IdRange;
use crate::log::LogLimits;
use crate::process::ProcessId;

/// Larger than any record, so that a mangled file cannot fill the memory.
const MAX_RECORD: u64 = 1 << 20;

/// The pod's shared namespaces, as the agent wants them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sandbox {
    /// The pod's host name.
    pub hostname: String,
    /// Where the pod's network namespace is mounted; none on the host's network.
    #[serde(default)]
    pub netns: Option<PathBuf>,
    /// The pod uses the host's host name: as every pod on the host's network does.
    #[serde(default)]
    pub host_uts: bool,
    /// The pod uses the host's System V and POSIX queues and shared memory.
    #[serde(default)]
    pub host_ipc: bool,
    /// The containers see the node's processes.
    #[serde(default)]
    pub host_pid: bool,
    /// The containers see each other's processes.
    #[serde(default)]
    pub share_pid: bool,
    /// Root of the pod is nobody on the node: the pod has a user namespace with these users.
    #[serde(default)]
    pub users: Option<IdRange>,
    /// Limits of the pod as a whole.
    #[serde(default)]
    pub resources: Option<Box<LinuxResources>>,
    /// The boot in which the processes of the records lived.
    #[serde(default)]
    pub boot_id: String,
}

/// A container, recorded before anything is made for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) bundle: PathBuf,
    pub(crate) cgroup: String,
    pub(crate) log_path: PathBuf,
    #[serde(default)]
    pub(crate) log_limits: LogLimits,
    /// Absent while it is being made: what lies around then is only fit to be removed.
    #[serde(default)]
    pub(crate) process: Option<ProcessId>,
    #[serde(default)]
    pub(crate) started: bool,
}

/// Writes a value to a new file, then moves it over `path`: a reader sees the old or the new one.
///
/// # Errors
/// The disk said no.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    fs::write(&new, serde_json::to_vec(value)?)?;
    fs::rename(&new, path)
}

/// Reads what [`write_json`] wrote; none where there is no file.
///
/// # Errors
/// The file cannot be read, is too large, or is not what it should be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::metadata(path) {
        Ok(data) if data.len() > MAX_RECORD => {
            Err(io::Error::other(format!("{} is too large", path.display())))
        }
        Ok(_) => Ok(Some(serde_json::from_slice(&fs::read(path)?)?)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Removes a file; it being gone already is fine.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

/// Names this boot of this machine.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
