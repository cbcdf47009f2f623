//! Where things lie.

use std::path::{Path, PathBuf};

use gannet_agent_core::ContainerId;
use gannet_protocols_model::PodUid;

/// The paths of one agent: what must survive a power cut below `data`, what must not cost flash below `run`.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) data: PathBuf,
    pub(crate) run: PathBuf,
    pods: PathBuf,
}

impl Layout {
    pub(crate) fn new(data: &Path, run: &Path) -> Self {
        Self { data: data.to_owned(), run: run.to_owned(), pods: data.join("pods") }
    }

    /// For a data folder that cannot be written: pods' own files lie in memory, and do not outlive the machine.
    pub(crate) fn with_pods_in_memory(self) -> Self {
        Self { pods: self.run.join("pod-files"), ..self }
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
        self.pods.clone()
    }

    /// A folder that is there while the agent finds out whether pods can have users of their own.
    pub(crate) fn user_namespace_trial(&self) -> PathBuf {
        self.pods.with_extension("users")
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

    /// Which container has which device: for this boot.
    pub(crate) fn volatile_devices(&self) -> PathBuf {
        self.run.join("devices.json")
    }

    /// The same for the next boot.
    pub(crate) fn durable_devices(&self) -> PathBuf {
        self.data.join("devices.json")
    }

    /// What is remembered of pods, whole: in memory.
    pub(crate) fn volatile_records(&self) -> PathBuf {
        self.run.join("pods.json")
    }

    /// Which manifests were healthy and how far those on trial are: in memory.
    pub(crate) fn volatile_rollback(&self) -> PathBuf {
        self.run.join("rollback.json")
    }
}
