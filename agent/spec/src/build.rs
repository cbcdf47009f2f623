//! The spec as a whole.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use gannet_protocols_model::{ByteSize, ConfigBlob, Container, Digest, Manifest, PodEntry};
use oci_spec::runtime::{Mount, Process, Root, Spec, User};

use crate::defaults;
use crate::env::{SpecError, command_line, environment};
use crate::{security, user};

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
    /// The blobs that its environment names.
    pub blobs: &'a BTreeMap<Digest, ConfigBlob>,
    /// Its volumes.
    pub mounts: &'a [VolumeMount],
    /// The pod's files in `/etc`.
    pub etc: &'a EtcFiles,
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
    let bounding = security::capabilities(&container.security)?;
    let (env, known) = environment(at, &run_as.home)?;

    let mut process = Process::default();
    let mut process_user = User::default();
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
        .set_oom_score_adj(Some(security::oom_score_adj(manifest, container, at.pod.node_memory)));

    let mut root = Root::default();
    root.set_path(at.rootfs.to_owned()).set_readonly(Some(container.security.read_only_root));
    let mut spec = Spec::default();
    spec.set_version("1.0.2".to_owned())
        .set_root(Some(root))
        .set_process(Some(process))
        .set_hostname(None)
        .set_mounts(Some(mounts(at)))
        .set_linux(Some(security::linux(container, &bounding)));
    Ok(spec)
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
    });
    let hidden = |m: &VolumeMount| at.mounts.iter().any(|own| own.destination == m.destination);
    let mut binds: Vec<VolumeMount> =
        etc.into_iter().filter(|m| !hidden(m)).chain(at.mounts.iter().cloned()).collect();
    // A mount inside another one must come after it.
    binds.sort_by_key(|m| m.destination.components().count());
    mounts.extend(binds.iter().map(bind));
    mounts
}

fn bind(volume: &VolumeMount) -> Mount {
    let mut options = vec!["rbind".to_owned(), "rprivate".to_owned()];
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
    const NAMES: [(&str, i32); 12] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("ALRM", 14),
        ("TERM", 15),
        ("CONT", 18),
        ("WINCH", 28),
        ("PWR", 30),
    ];
    let Some(text) = image.stop_signal.as_deref() else { return SIGTERM };
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { number } else { SIGTERM };
    }
    let name = text.trim_start_matches("SIG");
    if let Some(above) = name.strip_prefix("RTMIN+").and_then(|n| n.parse::<i32>().ok()) {
        return (34 + above).min(64);
    }
    NAMES.iter().find(|(n, _)| *n == name).map_or(SIGTERM, |(_, number)| *number)
}
