//! From the runtime spec that the agent's core made to a bundle that libcontainer runs without weakening it.
//!
//! What is expected of the spec: `process` with `args`, `root.path` already mounted (relative to the bundle, or absolute),
//! all `mounts`, `linux.namespaces` with a type for each namespace that is not the host's. What is done here:
//! - `network`, `ipc` and `uts` without a path become those of the pod, and so do `user` and `pid` where the pod has them;
//!   `mount` and `cgroup`, and otherwise `pid`, are new ones;
//! - `cgroupsPath` becomes `/gannet/POD-UID/CONTAINER`: deleting a container kills all in its cgroup, so it has its own;
//! - the seccomp profile is taken out, to be compiled and loaded by [`crate::executor`];
//! - every device is denied first, since an empty list means that all are allowed;
//! - the score for the kernel's out-of-memory killer is set, since the shim's own is low;
//! - where the pod has users of its own, mounts and devices come from where its root may look: see [`crate::stage`];
//! - a limit of processes too small for making the container is set once it is made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capability, LinuxCapabilities, LinuxDeviceCgroup, LinuxDeviceType, LinuxNamespaceType, LinuxSeccomp,
    Mount, Root, Spec,
};
use serde::{Deserialize, Serialize};

use crate::kernel::cgroup;
use crate::kernel::namespaces::IdRange;
use crate::layout::{NotAnId, PodLayout, check_container_id};
use crate::record::{Sandbox, write_json};
use crate::stage::Stage;

/// libcontainer has this many processes in the new cgroup while it makes a container; one to spare.
const PIDS_WHILE_CREATING: i64 = 4;

pub(crate) const LAUNCH: &str = "launch.json";
pub(crate) const FILTER: &str = "seccomp.bpf";

/// Why a runtime spec cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The container's id is none.
    #[error(transparent)]
    Id(#[from] NotAnId),
    /// A part is missing.
    #[error("runtime spec has no {what}")]
    Missing {
        /// Which.
        what: &'static str,
    },
    /// A part that is not supported.
    #[error("runtime spec asks for {what}, which is not supported")]
    Unsupported {
        /// Which.
        what: &'static str,
    },
}

/// What the shim needs to know besides the spec.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) cgroup: String,
    /// The user who will write to the container's output.
    pub(crate) uid: u32,
    /// `seccomp.bpf` must be there and be loaded.
    #[serde(default)]
    pub(crate) filtered: bool,
    /// For the unified hierarchy, where libcontainer leaves them out.
    #[serde(default)]
    pub(crate) devices: Vec<LinuxDeviceCgroup>,
    /// To be set once the container is made.
    #[serde(default)]
    pub(crate) pids_limit: Option<i64>,
    /// What the spec asked for, where libcontainer was told more so that the filter can be loaded.
    #[serde(default)]
    pub(crate) capabilities: Option<LinuxCapabilities>,
    /// To be laid out before anything else, for a pod with users of its own.
    #[serde(default)]
    pub(crate) stage: Option<Stage>,
}

/// A bundle, ready to be written.
#[derive(Debug, Clone)]
pub struct Bundle {
    config: Spec,
    launch: Launch,
    seccomp: Option<LinuxSeccomp>,
    users: Option<Users>,
}

/// Those of the pod.
#[derive(Debug, Clone)]
struct Users {
    namespace: PathBuf,
    range: IdRange,
    /// The pod's folder.
    pod: PathBuf,
}

impl Bundle {
    /// The profile to compile, and to hand to [`Self::write`].
    pub fn seccomp(&self) -> Option<&LinuxSeccomp> {
        self.seccomp.as_ref()
    }

    /// The container's cgroup.
    pub fn cgroup(&self) -> &str {
        &self.launch.cgroup
    }

    /// Writes the bundle's files. `filter` is the compiled [`Self::seccomp`].
    ///
    /// # Errors
    /// The disk said no, or there is a profile and no filter.
    pub fn write(&self, dir: &Path, filter: Option<&[u8]>) -> io::Result<()> {
        if self.launch.filtered != filter.is_some() {
            return Err(io::Error::other("a seccomp profile needs its filter"));
        }
        fs::create_dir_all(dir)?;
        if let Some(filter) = filter {
            fs::write(dir.join(FILTER), filter)?;
        }
        let (mut config, mut launch) = (self.config.clone(), self.launch.clone());
        if let Some(users) = &self.users {
            launch.stage =
                Some(Stage::take(&mut config, &users.namespace, users.range, [dir, users.pod.as_path()])?);
        }
        write_json(&dir.join(LAUNCH), &launch)?;
        write_json(&dir.join("config.json"), &config)
    }
}

/// Makes a spec fit for libcontainer and for this pod.
///
/// # Errors
/// The spec lacks something, or asks for what is not supported.
pub fn prepare(
    mut spec: Spec,
    layout: &PodLayout,
    sandbox: &Sandbox,
    id: &str,
) -> Result<Bundle, PrepareError> {
    check_container_id(id)?;
    if spec.hooks().is_some() {
        return Err(PrepareError::Unsupported { what: "hooks" });
    }
    if spec.root().is_none() {
        let mut root = Root::default();
        root.set_path("rootfs".into());
        spec.set_root(Some(root));
    }
    // The pod's host name is that of its shared namespace.
    spec.set_hostname(None);
    let mut launch = Launch {
        cgroup: format!("{}/{id}", layout.cgroup()),
        uid: 0,
        filtered: false,
        devices: Vec::new(),
        pids_limit: None,
        capabilities: None,
        stage: None,
    };
    if sandbox.share_pid {
        show_cgroups(&mut spec, &launch.cgroup);
    }
    let seccomp = prepare_linux(&mut spec, &mut launch, layout, sandbox)?;
    launch.filtered = seccomp.is_some();
    prepare_process(&mut spec, &mut launch)?;
    let users = sandbox.users.map(|range| {
        launch.uid = range.first.saturating_add(launch.uid);
        Users { namespace: layout.namespace("user"), range, pod: layout.dir().to_owned() }
    });
    Ok(Bundle { config: spec, launch, seccomp, users })
}

/// Mounts the container's cgroups by their directories, where libcontainer cannot.
fn show_cgroups(spec: &mut Spec, cgroup: &str) {
    let shown = cgroup::shown(cgroup);
    let Some(mounts) = spec.mounts_mut().as_mut() else { return };
    let Some(at) = mounts.iter().position(|m| m.typ().as_deref() == Some("cgroup")) else { return };
    if shown.is_empty() {
        return;
    }
    let place = mounts[at].destination().clone();
    let writable = mounts[at].options().iter().flatten().all(|option| option != "ro");
    let make = |destination: &Path, typ: &str, source: &Path, options: &[&str]| {
        let mut mount = Mount::default();
        mount
            .set_destination(destination.to_owned())
            .set_typ(Some(typ.to_owned()))
            .set_source(Some(source.to_owned()))
            .set_options(Some(options.iter().map(ToString::to_string).collect()));
        mount
    };
    let safe = ["nosuid", "noexec", "nodev", "mode=755", "size=64k"];
    let mut ours = vec![make(&place, "tmpfs", Path::new("tmpfs"), &safe)];
    let options = ["bind", "nosuid", "noexec", "nodev", if writable { "rw" } else { "ro" }];
    ours.extend(shown.iter().map(|(name, dir)| make(&place.join(name), "bind", dir, &options)));
    mounts.splice(at..=at, ours);
}

fn prepare_linux(
    spec: &mut Spec,
    launch: &mut Launch,
    layout: &PodLayout,
    sandbox: &Sandbox,
) -> Result<Option<LinuxSeccomp>, PrepareError> {
    let linux = spec.linux_mut().as_mut().ok_or(PrepareError::Missing { what: "linux" })?;
    linux.set_cgroups_path(Some(launch.cgroup.clone().into()));
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    // Where the pod uses the host's namespace, so does every container of it, whatever its spec says.
    namespaces.retain(|namespace| match namespace.typ() {
        LinuxNamespaceType::Network => {
            sandbox.netns.is_some() || sandbox.users.is_some() || namespace.path().is_some()
        }
        LinuxNamespaceType::Pid => !sandbox.host_pid,
        LinuxNamespaceType::Ipc => !sandbox.host_ipc,
        LinuxNamespaceType::Uts => !sandbox.host_uts,
        _ => true,
    });
    for namespace in namespaces.iter_mut().filter(|namespace| namespace.path().is_none()) {
        let path = match namespace.typ() {
            LinuxNamespaceType::Network if sandbox.users.is_some() => Some(layout.namespace("net")),
            LinuxNamespaceType::Network => sandbox.netns.clone(),
            LinuxNamespaceType::Pid if sandbox.share_pid => Some(layout.namespace("pid")),
            LinuxNamespaceType::User => Some(layout.namespace("user")),
            LinuxNamespaceType::Ipc => Some(layout.namespace("ipc")),
            LinuxNamespaceType::Uts => Some(layout.namespace("uts")),
            _ => None,
        };
        namespace.set_path(path);
    }
    let has = |typ| namespaces.iter().any(|namespace| namespace.typ() == typ);
    if sandbox.users.is_some() != has(LinuxNamespaceType::User) {
        // Root of such a pod must never be the node's, nor may one go without its mounts.
        return Err(PrepareError::Missing { what: "user namespace" });
    }
    if !has(LinuxNamespaceType::Mount) {
        return Err(PrepareError::Missing { what: "mount namespace" });
    }
    linux.set_namespaces(Some(namespaces));

    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut devices = resources.devices().clone().unwrap_or_default();
    if devices.first().is_none_or(|first| first.typ() != Some(LinuxDeviceType::A)) {
        let mut deny = LinuxDeviceCgroup::default();
        deny.set_allow(false).set_typ(Some(LinuxDeviceType::A)).set_access(Some("rwm".to_owned()));
        devices.insert(0, deny);
    }
    launch.devices.clone_from(&devices);
    resources.set_devices(Some(devices));
    if let Some(mut pids) = resources.pids().filter(|pids| (1..PIDS_WHILE_CREATING).contains(&pids.limit())) {
        launch.pids_limit = Some(pids.limit());
        pids.set_limit(PIDS_WHILE_CREATING);
        resources.set_pids(Some(pids));
    }
    linux.set_resources(Some(resources));
    let seccomp = linux.seccomp().clone();
    linux.set_seccomp(None);
    Ok(seccomp)
}

fn prepare_process(spec: &mut Spec, launch: &mut Launch) -> Result<(), PrepareError> {
    let process = spec.process_mut().as_mut().ok_or(PrepareError::Missing { what: "process" })?;
    if process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(PrepareError::Missing { what: "process.args" });
    }
    if process.terminal() == Some(true) {
        return Err(PrepareError::Unsupported { what: "a terminal" });
    }
    launch.uid = process.user().uid();
    process.set_oom_score_adj(Some(process.oom_score_adj().unwrap_or(0)));
    if process.no_new_privileges() == Some(true) || !launch.filtered {
        return Ok(());
    }
    // Without no-new-privileges a filter needs CAP_SYS_ADMIN to be loaded. The executor gives these two up again: the
    // bounding set before the filter, the rest by executing the program.
    if let Some(asked) = process.capabilities().clone() {
        let mut more = asked.clone();
        let extra = [Capability::SysAdmin, Capability::Setpcap];
        let with = |set: &Option<oci_spec::runtime::Capabilities>| {
            Some(set.iter().flatten().copied().chain(extra).collect())
        };
        more.set_bounding(with(asked.bounding()))
            .set_effective(with(asked.effective()))
            .set_permitted(with(asked.permitted()));
        process.set_capabilities(Some(more));
        launch.capabilities = Some(asked);
    }
    Ok(())
}

#[cfg(test)]
#[path = "prepare_test.rs"]
mod tests;
