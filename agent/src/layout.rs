//! Where things lie.

use std::path::{Path, PathBuf};

use gannet_agent_core::ContainerId;
use gannet_protocols_model::PodUid;

/// The paths of one agent: what must survive a power cut below `data`, what must not cost flash below `run`.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) data: PathBuf,
    pub(crate) run: PathBuf,
}

impl Layout {
    pub(crate) fn new(data: &Path, run: &Path) -> Self {
        Self { data: data.to_owned(), run: run.to_owned() }
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.data.join("ledger")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// Held while an agent runs.
    pub(crate) fn lock(&self) -> PathBuf {
        self.data.join("lock")
    }

    /// The name of the control socket in the data folder.
    pub(crate) const SOCKET: &'static str = "agent.sock";

    pub(crate) fn pods(&self) -> PathBuf {
        self.data.join("pods")
    }

    pub(crate) fn pod(&self, uid: &PodUid) -> PathBuf {
        self.pods().join(uid.as_str())
    }

    /// The pod's files for `/etc`.
    pub(crate) fn etc(&self, uid: &PodUid) -> PathBuf {
        self.pod(uid).join("etc")
    }

    pub(crate) fn containers(&self, uid: &PodUid) -> PathBuf {
        self.pod(uid).join("containers")
    }

    /// A run's bundle, with its writable layer and its mounted root.
    pub(crate) fn container(&self, uid: &PodUid, id: &ContainerId) -> PathBuf {
        self.containers(uid).join(id.to_string())
    }

    /// The logs of a container, a file a run.
    pub(crate) fn logs(&self, uid: &PodUid, container: &str) -> PathBuf {
        self.pod(uid).join("logs").join(container)
    }

    pub(crate) fn log(&self, uid: &PodUid, container: &str, attempt: u32) -> PathBuf {
        self.logs(uid, container).join(format!("{attempt}.log"))
    }

    /// What is remembered of pods, whole: in memory.
    pub(crate) fn volatile_records(&self) -> PathBuf {
        self.run.join("pods.json")
    }
}
