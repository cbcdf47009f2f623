//! The spec as a whole.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use gannet_protocols_model::{ByteSize, Container, Manifest, MountPropagation, PodEntry};
use oci_spec::runtime::{Linux, LinuxSeccomp, Mount, Process, Root, Spec, User};
use serde::{Deserialize, Serialize};

use crate::defaults;
use crate::env::{SpecError, command_line, environment};
use crate::fields::Allocatable;
use crate::{refusal, resources, security, user};

/// What the image says about how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod may replace.
    pub cmd: Vec<String>,
    /// `NAME=value`, in order.
    pub env: Vec<String>,
    /// Where the program starts; `/` where empty.
    pub working_dir: String,
    /// `user[:group]`; root where empty.
    pub user: String,
    /// `SIGTERM` where there is none.
    pub stop_signal: Option<String>,
}

/// The pod and its node.
#[derive(Debug, Clone, Copy)]
pub struct PodContext<'a> {
    /// Who it is.
    pub entry: &'a PodEntry,
    /// What it runs.
    pub manifest: &'a Manifest,
    /// The node's name.
    pub node_name: &'a str,
    /// The node's address.
    pub node_ip: Ipv4Addr,
    /// The pod's address; `None` on the node's network.
    pub pod_ip: Option<Ipv4Addr>,
    /// The node's memory.
    pub node_memory: ByteSize,
    /// What of the node pods can have.
    pub allocatable: Allocatable,
}

/// The container, and what the node prepared for it.
#[derive(Debug, Clone, Copy)]
pub struct ContainerContext<'a> {
    /// Its pod.
    pub pod: &'a PodContext<'a>,
    /// It.
    pub container: &'a Container,
    /// Its image's configuration.
    pub image: &'a ImageConfig,
    /// Its mounted root file system.
    pub rootfs: &'a Path,
    /// `/etc/passwd` of the image; empty where it has none.
    pub passwd: &'a str,
    /// `/etc/group` of the image; empty where it has none.
    pub group: &'a str,
    /// The pod's host name.
    pub hostname: &'a str,
    /// Its own variables and those of services: [`crate::variables`].
    pub variables: &'a [(String, String)],
    /// Its volumes.
    pub mounts: &'a [VolumeMount],
    /// The pod's files in `/etc`.
    pub etc: &'a EtcFiles,
    /// The file on the node that the container sees at its `terminationMessagePath`.
    pub termination_log: Option<&'a Path>,
    /// The device nodes that it gets: those of its devices, or all of the node's where it is privileged.
    pub devices: &'a [DeviceNode],
    /// What the node gives and demands.
    pub node: &'a NodeFacts<'a>,
    /// The profile that `seccompProfile: Localhost` names, read by whoever may read files.
    pub seccomp: Option<&'a LinuxSeccomp>,
}

/// What specs depend on besides the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFacts<'a> {
    /// Processes and threads of a container at most.
    pub pids_limit: i64,
    /// What the kernel has of AppArmor.
    pub apparmor: AppArmor<'a>,
    /// The node gives pods user namespaces, with root file systems and volumes mapped into them.
    pub user_namespaces: bool,
}

impl Default for NodeFacts<'_> {
    /// Far more processes than a gateway's programs use, far fewer than a fork bomb makes.
    fn default() -> Self {
        Self { pids_limit: 4096, apparmor: AppArmor::Absent, user_namespaces: false }
    }
}

/// Whether the kernel enforces AppArmor profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppArmor<'a> {
    /// It does not.
    Absent,
    /// It does.
    Enabled {
        /// The profile of containers that ask for none, where it is loaded.
        default: Option<&'a str>,
    },
}

/// A device node of this machine, given to a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceNode {
    /// Where it is on the node.
    pub path_on_node: PathBuf,
    /// Where it appears.
    pub path_in_container: PathBuf,
    /// Its major number.
    pub major: i64,
    /// Its minor number.
    pub minor: i64,
    /// What it is.
    pub kind: DeviceKind,
    /// Letters of `rwm`.
    pub access: String,
    /// Its permission bits; for its owner and group alone where there are none.
    #[serde(default)]
    pub mode: Option<u32>,
    /// Its owner and group; the container's user where there are none.
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
}

/// What a device node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// A folder or file of the node that appears in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// Where it is on the node.
    pub source: PathBuf,
    /// Where it appears.
    pub destination: PathBuf,
    /// Without write access.
    pub read_only: bool,
    /// Whether mounts made later show on the other side.
    pub propagation: MountPropagation,
}

/// Where the pod's files for `/etc` lie on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcFiles {
    /// `/etc/hosts`
    pub hosts: PathBuf,
    /// `/etc/hostname`
    pub hostname: PathBuf,
    /// `/etc/resolv.conf`
    pub resolv_conf: PathBuf,
}

/// Kubernetes' default.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// The runtime spec of a container.
///
/// # Errors
/// The manifest asks for something that cannot be.
pub fn build(at: &ContainerContext<'_>) -> Result<Spec, SpecError> {
    let (container, manifest) = (at.container, at.pod.manifest);
    let run_as = user::resolve(container, manifest.fs_group, &at.image.user, at.passwd, at.group)?;
    if container.security.run_as_non_root && run_as.uid == 0 {
        let entry = at.pod.entry;
        let pod = format!("{}_{}({})", entry.name, entry.namespace, entry.uid);
        return Err(SpecError::Root { pod, container: container.name.clone() });
    }
    refusal::check(manifest, &container.security, at.node)?;
    let ids = [run_as.uid, run_as.gid].into_iter().chain(run_as.groups.iter().copied());
    refusal::check_users(manifest, ids)?;
    let bounding = security::capabilities(&container.security)?;
    let env = environment(at, at.variables, &run_as.home)?;
    let known = at.variables.iter().cloned().collect();

    let mut process = Process::default();
    let mut process_user = User::default();
    let owner = (run_as.uid, run_as.gid);
    process_user.set_uid(run_as.uid).set_gid(run_as.gid);
    process_user.set_additional_gids((!run_as.groups.is_empty()).then_some(run_as.groups));
    process
        .set_terminal(Some(false))
        .set_user(process_user)
        .set_args(Some(command_line(container, &at.image.entrypoint, &at.image.cmd, &known)?))
        .set_env(Some(env))
        .set_cwd(working_dir(container, at.image)?)
        .set_capabilities(Some(security::process_capabilities(&bounding)))
        .set_no_new_privileges(Some(container.security.allow_privilege_escalation == Some(false)))
        // Those of the agent's service: raising them would need a capability that a nested agent may not have.
        .set_rlimits(None)
        .set_apparmor_profile(refusal::apparmor(&container.security, at.node)?)
        .set_oom_score_adj(Some(resources::oom_score_adj(manifest, container, at.pod.node_memory)));

    let mut root = Root::default();
    root.set_path(at.rootfs.to_owned()).set_readonly(Some(container.security.read_only_root));
    let mut spec = Spec::default();
    spec.set_version("1.0.2".to_owned())
        .set_root(Some(root))
        .set_process(Some(process))
        .set_hostname(None)
        .set_mounts(Some(mounts(at)))
        .set_linux(Some(propagating(at, security::linux(at, &bounding, owner)?)));
    Ok(spec)
}

/// A mount that is to show on the node must be made in a tree that the node shares: libcontainer makes all others slaves
/// of the node's.
fn propagating(at: &ContainerContext<'_>, mut linux: Linux) -> Linux {
    if at.mounts.iter().any(|m| m.propagation == MountPropagation::Bidirectional) {
        linux.set_rootfs_propagation(Some("shared".to_owned()));
    }
    linux
}

fn working_dir(container: &Container, image: &ImageConfig) -> Result<PathBuf, SpecError> {
    let path = container.working_dir.as_deref().unwrap_or(&image.working_dir);
    match path {
        "" => Ok(PathBuf::from("/")),
        path if path.starts_with('/') => Ok(PathBuf::from(path)),
        path => Err(SpecError::WorkingDir { path: path.to_owned() }),
    }
}

fn mounts(at: &ContainerContext<'_>) -> Vec<Mount> {
    let mut mounts = defaults::default_mounts();
    // The manifest's own mounts go above the usual ones, and replace those at the same place.
    mounts.retain(|m| !at.mounts.iter().any(|own| own.destination == *m.destination()));
    if at.container.security.privileged {
        for mount in mounts.iter_mut().filter(|m| m.destination().starts_with("/sys")) {
            if let Some(options) = mount.options_mut() {
                options.retain(|o| o != "ro");
            }
        }
    }
    let etc = [
        (&at.etc.hosts, "/etc/hosts"),
        (&at.etc.hostname, "/etc/hostname"),
        (&at.etc.resolv_conf, "/etc/resolv.conf"),
    ];
    let etc = etc.map(|(source, destination)| VolumeMount {
        source: source.clone(),
        destination: PathBuf::from(destination),
        read_only: at.container.security.read_only_root,
        propagation: MountPropagation::None,
    });
    let termination = at.termination_log.map(|source| VolumeMount {
        source: source.to_owned(),
        destination: at.container.termination_message_path.as_deref().unwrap_or(TERMINATION_LOG).into(),
        read_only: false,
        propagation: MountPropagation::None,
    });
    let hidden = |m: &VolumeMount| at.mounts.iter().any(|own| own.destination == m.destination);
    let mut binds: Vec<VolumeMount> =
        etc.into_iter().chain(termination).filter(|m| !hidden(m)).chain(at.mounts.iter().cloned()).collect();
    // A mount inside another one must come after it.
    binds.sort_by_key(|m| m.destination.components().count());
    mounts.extend(binds.iter().map(bind));
    mounts
}

fn bind(volume: &VolumeMount) -> Mount {
    let propagation = match volume.propagation {
        MountPropagation::None => "rprivate",
        MountPropagation::HostToContainer => "rslave",
        MountPropagation::Bidirectional => "rshared",
    };
    let mut options = vec!["rbind".to_owned(), propagation.to_owned()];
    options.push(if volume.read_only { "ro" } else { "rw" }.to_owned());
    let mut mount = Mount::default();
    mount
        .set_destination(volume.destination.clone())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(volume.source.clone()))
        .set_options(Some(options));
    mount
}

/// The number of the image's stop signal; SIGTERM where it names none that is known.
pub fn stop_signal(image: &ImageConfig) -> i32 {
    const SIGTERM: i32 = 15;
    const NAMES: &[(&str, i32)] = &[
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("IOT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("STKFLT", 16),
        ("CHLD", 17),
        ("CLD", 17),
        ("CONT", 18),
        ("STOP", 19),
        ("TSTP", 20),
        ("TTIN", 21),
        ("TTOU", 22),
        ("URG", 23),
        ("XCPU", 24),
        ("XFSZ", 25),
        ("VTALRM", 26),
        ("PROF", 27),
        ("WINCH", 28),
        ("IO", 29),
        ("POLL", 29),
        ("PWR", 30),
        ("SYS", 31),
        ("RTMIN", 34),
        ("RTMAX", 64),
    ];
    let Some(text) = image.stop_signal.as_deref() else { return SIGTERM };
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { number } else { SIGTERM };
    }
    let name = text.trim_start_matches("SIG");
    if let Some(above) = name.strip_prefix("RTMIN+").and_then(|n| n.parse::<i32>().ok()) {
        return (34 + above.clamp(0, 30)).min(64);
    }
    if let Some(below) = name.strip_prefix("RTMAX-").and_then(|n| n.parse::<i32>().ok()) {
        return 64 - below.clamp(0, 30);
    }
    NAMES.iter().find(|(n, _)| *n == name).map_or(SIGTERM, |(_, number)| *number)
}
