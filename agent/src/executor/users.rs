//! Pods with users of their own (`hostUsers: false`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gannet_agent_runtime::IdRange;
use gannet_agent_shim::idmap;
use gannet_images::{Image, MappedUsers, mount_mapped_rootfs, try_mapped};
use gannet_protocols_model::{Manifest, PodUid};

use super::Tools;
use super::pod::blocking;

/// Any block: nobody but the try has it.
const TRIED: IdRange = IdRange { first: 1 << 30, count: 65_536 };

/// Tries whether this machine gives pods users of their own. `scratch` is a folder that is made for that, where images and
/// pods lie.
///
/// # Errors
/// It does not, and why.
pub(crate) fn try_users(scratch: &Path) -> anyhow::Result<()> {
    let users = idmap::trial_users(TRIED).context("make a user namespace")?;
    let mount = |path: &Path| idmap::mapped(path, users.as_fd());
    try_mapped(scratch, &MappedUsers { first: TRIED.first, mount: &mount })?;
    Ok(())
}

/// The users of a pod that asks for some. What cannot be given is refused with each of its containers.
pub(super) async fn of_pod(
    tools: &Tools,
    pod: &PodUid,
    manifest: &Manifest,
) -> anyhow::Result<Option<IdRange>> {
    let shares = manifest.host_network || manifest.host_pid || manifest.host_ipc;
    if !manifest.user_namespace || !tools.user_namespaces || shares {
        return Ok(None);
    }
    let (runtime, pod) = (tools.runtime.clone(), pod.clone());
    blocking(move || {
        runtime.users(&pod).map(Some).context("no block of 65536 users of the node is free for the pod")
    })
    .await
}

/// Mounts a container's root file system for these users.
pub(super) async fn mount(
    tools: &Tools,
    pod: &PodUid,
    users: IdRange,
    image: Image,
    dir: PathBuf,
) -> anyhow::Result<PathBuf> {
    let namespace = tools.runtime.user_namespace(pod);
    blocking(move || {
        let users_file = File::open(&namespace)
            .with_context(|| format!("open the pod's user namespace {}", namespace.display()))?;
        let mount = |path: &Path| -> io::Result<OwnedFd> { idmap::mapped(path, users_file.as_fd()) };
        Ok(mount_mapped_rootfs(&image, &dir, &MappedUsers { first: users.first, mount: &mount })?)
    })
    .await
}
