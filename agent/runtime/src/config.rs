//! What goes into the runtime, and what comes out.

use std::ffi::OsString;
use std::path::PathBuf;

use gannet_agent_shim::{ContainerStatus, Exit, IdRange, LogLimits, Sandbox};
use gannet_protocols_model::PodUid;
use oci_spec::runtime::{LinuxDevice, LinuxResources, Spec};

/// How to run.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Sockets, records and namespaces lie in `pods/` below it. Best on a tmpfs: nothing here is worth keeping over a
    /// reboot, and much is written.
    pub run_dir: PathBuf,
    /// Program and arguments that end in [`gannet_agent_shim::zygote_main`], with the control socket as standard input.
    pub zygote_command: (PathBuf, Vec<OsString>),
}

/// What the containers of a pod share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSandbox {
    /// The pod.
    pub uid: PodUid,
    /// Its host name; without meaning on the host's network, where pods have the host's.
    pub hostname: String,
    /// Where its network namespace is mounted. None: the host's network.
    pub netns: Option<PathBuf>,
    /// It uses the host's System V and POSIX queues and shared memory.
    pub host_ipc: bool,
    /// It sees the host's processes.
    pub host_pid: bool,
    /// Its containers see each other's processes.
    pub share_pid: bool,
    /// Its root is nobody on the host: these are its users. It then has a network namespace of its own, at
    /// [`crate::Runtime::network_namespace`], whatever `netns` says.
    pub users: Option<IdRange>,
    /// Limits of the pod as a whole, as `gannet_agent_spec::pod_limits` makes them.
    pub resources: Option<Box<LinuxResources>>,
}

impl PodSandbox {
    /// A pod on the host's network, with namespaces of its own otherwise.
    pub fn new(uid: PodUid, hostname: String) -> Self {
        Self {
            uid,
            hostname,
            netns: None,
            host_ipc: false,
            host_pid: false,
            share_pid: false,
            users: None,
            resources: None,
        }
    }
}

/// A container to create.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Unique in the pod, over all attempts: letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// What to run; see [`gannet_agent_shim::prepare`] for what is expected and what is filled in.
    pub spec: Spec,
    /// Its directory, made where needed; a relative `root.path` of the spec is below it.
    pub bundle: PathBuf,
    /// Where its log goes.
    pub log_path: PathBuf,
    /// How large that may grow.
    pub log_limits: LogLimits,
}

/// Whether a call found something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did something.
    Yes,
    /// All was so already.
    No,
}

/// A pod and its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodState {
    /// The pod.
    pub sandbox: PodSandbox,
    /// In the order of their ids.
    pub containers: Vec<ContainerStatus>,
}

/// What happened without having been asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// A container ended. Told once in the life of a runtime, also for one that ended before.
    Exited {
        /// Its pod.
        pod: PodUid,
        /// Its id.
        container: String,
        /// How; `known` is false where nobody saw the exit code.
        exit: Exit,
    },
    /// A pod's shim died. Another one is being started and adopts the containers, whose exit codes will be unknown.
    ShimLost {
        /// The pod.
        pod: PodUid,
    },
}

impl From<PodSandbox> for Sandbox {
    fn from(pod: PodSandbox) -> Self {
        let host_uts = pod.netns.is_none() && pod.users.is_none();
        Self {
            hostname: pod.hostname,
            netns: pod.netns,
            host_uts,
            host_ipc: pod.host_ipc,
            host_pid: pod.host_pid,
            share_pid: pod.share_pid,
            users: pod.users,
            resources: pod.resources,
            boot_id: String::new(),
        }
    }
}

/// The same, as callers see it.
pub(crate) fn sandbox_of(uid: PodUid, sandbox: Sandbox) -> PodSandbox {
    let Sandbox { hostname, netns, host_ipc, host_pid, share_pid, users, resources, .. } = sandbox;
    PodSandbox { uid, hostname, netns, host_ipc, host_pid, share_pid, users, resources }
}

/// A device that comes to a running container, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChange {
    /// The node as it appears in the container, with its owner and permission bits: `gannet_agent_spec::device_node`.
    pub node: LinuxDevice,
    /// Letters of `rwm`.
    pub access: String,
    /// It goes.
    pub remove: bool,
}
