//! A pod's volumes, and what its containers mount of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use gannet_agent_spec::{VolumeMount, downward, expand_sub_path, pod_limits};
use gannet_agent_volumes::{MountRequest, Sources, is_read_only, mount_source, prepare, shared_memory};
use gannet_protocols_model::{
    ByteSize, Container, Digest, DownwardValue, Manifest, Mount, MountPropagation, VolumeSource,
};

use super::environment::NodeSide;
use super::pod::blocking;
use super::{PodWork, Tools};

/// POSIX shared memory belongs to the pod, as its IPC namespace does; with `hostIPC` it is the node's.
const SHM: &str = "/dev/shm";

/// Makes the pod's volumes, or brings them up to date. Gives each one's place on the node.
pub(super) async fn volumes(tools: &Tools, work: &PodWork) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let (node, ledger, work) = (NodeSide::of(tools), Arc::clone(&tools.ledger), work.clone());
    let dir = tools.layout.pod(&work.uid);
    blocking(move || {
        let wanted = work.wanted.as_deref().context("pod is not desired any more")?;
        let manifest = wanted.manifest.as_deref().context("the pod's manifest is not in the ledger")?;
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let pod = node.pod(&work, wanted, manifest);
        let sources = Sources {
            blobs: &|digest: &Digest| ledger.blob(digest),
            downward: &|value: &DownwardValue| downward(&pod, value).map_err(|e| e.to_string()),
            memory: Some(memory_bound(manifest, node.allocatable.memory)),
        };
        Ok(prepare(&dir, manifest, &sources)?)
    })
    .await
}

/// What the pod as a whole can have of memory.
fn memory_bound(manifest: &Manifest, node: ByteSize) -> ByteSize {
    let limit = pod_limits(manifest).memory().as_ref().and_then(|memory| memory.limit());
    let limit = limit.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    limit.map_or(node, |bytes| ByteSize(bytes).min(node))
}

/// What a container mounts of its pod's volumes.
pub(super) async fn mounts(
    pod_dir: PathBuf,
    manifest: &Manifest,
    container: &Container,
    places: BTreeMap<String, PathBuf>,
    variables: &[(String, String)],
) -> anyhow::Result<Vec<VolumeMount>> {
    let mut wanted = Vec::with_capacity(container.mounts.len());
    for mount in &container.mounts {
        let volume = manifest.volumes.iter().find(|v| v.name == mount.volume);
        let kind = volume.map(|v| &v.source);
        if mount.propagation == MountPropagation::Bidirectional && !container.security.privileged {
            bail!("Bidirectional mount propagation is available only to privileged containers");
        }
        if mount.propagation == MountPropagation::Bidirectional && manifest.user_namespace {
            bail!("Bidirectional mount propagation cannot be used with hostUsers: false");
        }
        let sub_path = sub_path(mount, variables).with_context(|| {
            format!(
                "failed to prepare subPath for volumeMount {:?} of container {:?}",
                mount.volume, container.name
            )
        })?;
        wanted.push(Wanted {
            mount: mount.clone(),
            sub_path,
            of_node: matches!(kind, Some(VolumeSource::HostPath { .. })),
            read_only: mount.read_only || kind.is_some_and(is_read_only),
        });
    }
    let own_shm = container.mounts.iter().any(|m| m.path.trim_end_matches('/') == SHM);
    let (container, host_ipc) = (container.name.clone(), manifest.host_ipc);
    blocking(move || {
        let made = |(number, wanted): (usize, Wanted)| wanted.make(&pod_dir, &container, number, &places);
        let mut mounts: Vec<VolumeMount> =
            wanted.into_iter().enumerate().map(made).collect::<anyhow::Result<_>>()?;
        if !own_shm {
            let source = if host_ipc { PathBuf::from(SHM) } else { shared_memory(&pod_dir)? };
            let (destination, propagation) = (PathBuf::from(SHM), MountPropagation::None);
            mounts.push(VolumeMount { source, destination, read_only: false, propagation });
        }
        Ok(mounts)
    })
    .await
}

fn sub_path(mount: &Mount, variables: &[(String, String)]) -> anyhow::Result<Option<String>> {
    match (&mount.sub_path, &mount.sub_path_expr) {
        (Some(path), _) => Ok(Some(path.clone())),
        (None, Some(expression)) => Ok(Some(expand_sub_path(expression, variables)?)),
        (None, None) => Ok(None),
    }
}

/// A mount as it is to be.
struct Wanted {
    mount: Mount,
    sub_path: Option<String>,
    of_node: bool,
    read_only: bool,
}

impl Wanted {
    fn make(
        self,
        pod_dir: &Path,
        container: &str,
        number: usize,
        places: &BTreeMap<String, PathBuf>,
    ) -> anyhow::Result<VolumeMount> {
        let Self { mount, sub_path, of_node, read_only } = self;
        let volume = places
            .get(&mount.volume)
            .with_context(|| format!("volume {:?} is not in the pod", mount.volume))?;
        let sub_path = sub_path.as_deref();
        let propagation = mount.propagation;
        let request = MountRequest { container, number, volume, of_node, sub_path, propagation };
        let source = mount_source(pod_dir, &request).with_context(|| {
            format!("failed to prepare mount {:?} of container {container:?}", mount.path)
        })?;
        Ok(VolumeMount { source, destination: PathBuf::from(mount.path), read_only, propagation })
    }
}
