//! Starts, signals and removes containers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gannet_agent_core::{ContainerId, DesiredPod, PodFact, StartFailure, StartStep};
use gannet_agent_runtime::{ContainerSpec, ErrorKind, LogLimits, RuntimeError};
use gannet_agent_spec::{
    self as spec, ContainerContext, EtcFiles, ImageConfig, PodContext, VolumeMount, node_files,
};
use gannet_images::Image;
use gannet_protocols_model::{ConfigBlob, Container, Digest, EnvValue, Manifest};
use oci_spec::runtime::Spec;
use tracing::{info, warn};

use super::pod::{blocking, volumes, wanted};
use super::{PodWork, Tools, chain, files};

pub(super) const SIGKILL: i32 = 9;

/// Why a start failed, and what is to be told of it.
struct NotStarted(StartStep, anyhow::Error);

fn at<E: Into<anyhow::Error>>(step: StartStep) -> impl FnOnce(E) -> NotStarted {
    move |error| NotStarted(step, error.into())
}

/// Creates and starts a run. Where that fails nothing of it is left.
pub(super) async fn start(tools: &Tools, work: &PodWork, id: ContainerId, image: Digest) -> PodFact {
    match try_start(tools, work, &id, image).await {
        Ok(fact) => fact,
        Err(NotStarted(step, error)) => {
            let message = format!("{error:#}");
            warn!(container = %id, ?step, error = message, "container not started");
            if let Err(error) = remove(tools, work, &id).await {
                warn!(container = %id, error = format!("{error:#}"), "cannot remove what is left of the container");
            }
            PodFact::NotStarted { id, failure: StartFailure { step, message } }
        }
    }
}

async fn try_start(
    tools: &Tools,
    work: &PodWork,
    id: &ContainerId,
    image: Digest,
) -> Result<PodFact, NotStarted> {
    let (pod, manifest) = wanted(work).map_err(at(StartStep::Create))?;
    let container =
        pod.container(&id.name).context("container is not in the manifest").map_err(at(StartStep::Create))?;
    let found = find_image(tools, container, image).await.map_err(at(StartStep::Create))?;
    let config = image_config(&found);
    let stop_signal = spec::stop_signal(&config);
    let blobs = env_blobs(tools, container).map_err(at(StartStep::Config))?;
    let places = volumes(tools, work).await.map_err(at(StartStep::Create))?;
    let mounts = volume_mounts(manifest, container, &places).map_err(at(StartStep::Config))?;
    let dir = tools.layout.container(&work.uid, id);
    let rootfs = mount(found, dir.clone()).await.map_err(at(StartStep::Create))?;
    let prepared = Prepared {
        pod,
        manifest,
        container,
        config: &config,
        blobs: &blobs,
        mounts: &mounts,
        rootfs: &rootfs,
    };
    let spec = prepared.spec(tools, work)?;
    let log_path = tools.layout.log(&work.uid, &id.name, id.attempt);
    drop_old_logs(&tools.layout.logs(&work.uid, &id.name), id.attempt);
    let bundle = dir.join("bundle");
    let container_spec =
        ContainerSpec { id: id.to_string(), spec, bundle, log_path, log_limits: LogLimits::default() };
    tools.runtime.create(&work.uid, container_spec).await.map_err(refusal)?;
    let at_time = tools.clock.now();
    tools.runtime.start_container(&work.uid, &id.to_string()).await.map_err(refusal)?;
    info!(container = %id, "container started");
    let (id, name) = (id.clone(), container.image.clone());
    Ok(PodFact::Started { id, image: name, digest: image, stop_signal, at: at_time })
}

/// A program that cannot be run is the user's matter, the rest is the node's.
fn refusal(error: RuntimeError) -> NotStarted {
    let step = match error.kind() {
        Some(ErrorKind::Start | ErrorKind::Create) => StartStep::Run,
        _ => StartStep::Create,
    };
    NotStarted(step, error.into())
}

async fn find_image(tools: &Tools, container: &Container, digest: Digest) -> anyhow::Result<Image> {
    let (images, name) = (tools.images.clone(), container.image.clone());
    blocking(move || {
        let found =
            images.get(&name).filter(|i| i.digest == digest).or_else(|| images.get(&name.pinned(digest)));
        // The name may lead to another image by now; the one that was resolved for this pod may be gone.
        found.or_else(|| images.get(&name)).with_context(|| format!("image {name} is not in the store"))
    })
    .await
}

fn image_config(image: &Image) -> ImageConfig {
    let config = image.config.clone();
    ImageConfig {
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        env: config.env,
        working_dir: config.working_dir,
        user: config.user,
        stop_signal: config.stop_signal,
    }
}

fn env_blobs(tools: &Tools, container: &Container) -> anyhow::Result<BTreeMap<Digest, ConfigBlob>> {
    let mut blobs = BTreeMap::new();
    for variable in &container.env {
        let (EnvValue::Key { blob, .. } | EnvValue::All { blob, .. }) = &variable.value else { continue };
        if let Some(bytes) = tools.ledger.blob(blob).filter(|_| !blobs.contains_key(blob)) {
            let parsed = ConfigBlob::parse(&bytes).with_context(|| format!("configuration {blob}"))?;
            blobs.insert(*blob, parsed);
        }
    }
    Ok(blobs)
}

fn volume_mounts(
    manifest: &Manifest,
    container: &Container,
    places: &BTreeMap<String, PathBuf>,
) -> anyhow::Result<Vec<VolumeMount>> {
    let mount = |mount: &gannet_protocols_model::Mount| {
        let volume = places
            .get(&mount.volume)
            .with_context(|| format!("volume {:?} is not in the pod", mount.volume))?;
        let source = match &mount.sub_path {
            Some(sub_path) => gannet_agent_volumes::resolve_sub_path(volume, sub_path)?,
            None => volume.clone(),
        };
        let source_kind = manifest.volumes.iter().find(|v| v.name == mount.volume).map(|v| &v.source);
        let read_only = mount.read_only || source_kind.is_some_and(gannet_agent_volumes::is_read_only);
        Ok(VolumeMount { source, destination: PathBuf::from(&mount.path), read_only })
    };
    container.mounts.iter().map(mount).collect()
}

async fn mount(image: Image, dir: PathBuf) -> anyhow::Result<PathBuf> {
    blocking(move || {
        let target = dir.join("rootfs");
        gannet_images::mount_rootfs(&image, &dir.join("upper"), &dir.join("work"), &target)?;
        Ok(target)
    })
    .await
}

struct Prepared<'a> {
    pod: &'a DesiredPod,
    manifest: &'a Manifest,
    container: &'a Container,
    config: &'a ImageConfig,
    blobs: &'a BTreeMap<Digest, ConfigBlob>,
    mounts: &'a [VolumeMount],
    rootfs: &'a Path,
}

impl Prepared<'_> {
    fn spec(&self, tools: &Tools, work: &PodWork) -> Result<Spec, NotStarted> {
        let read = |path: &str| {
            files::read_in_root(self.rootfs, path).with_context(|| format!("read /{path} of the image"))
        };
        let passwd = read("etc/passwd").map_err(at(StartStep::Create))?;
        let group = read("etc/group").map_err(at(StartStep::Create))?;
        let etc = tools.layout.etc(&work.uid);
        let etc = EtcFiles {
            hosts: etc.join("hosts"),
            hostname: etc.join("hostname"),
            resolv_conf: etc.join("resolv.conf"),
        };
        let pod = PodContext {
            entry: &self.pod.entry,
            manifest: self.manifest,
            node_name: &tools.node_name,
            node_ip: tools.node_ip,
            pod_ip: work.ip,
            node_memory: tools.node_memory,
        };
        let hostname = node_files::hostname(&self.pod.entry, self.manifest, &tools.node_hostname);
        let context = ContainerContext {
            pod: &pod,
            container: self.container,
            image: self.config,
            rootfs: self.rootfs,
            passwd: &passwd,
            group: &group,
            hostname: &hostname,
            blobs: self.blobs,
            mounts: self.mounts,
            etc: &etc,
        };
        spec::build(&context).map_err(at(StartStep::Config))
    }
}

/// Sends a signal. A container that is gone needs none: its end is told by the runtime.
pub(super) async fn signal(tools: &Tools, work: &PodWork, id: &ContainerId, signal: i32) {
    info!(container = %id, signal, "signal container");
    if let Err(error) = tools.runtime.signal(&work.uid, &id.to_string(), signal).await {
        warn!(container = %id, error = chain(&error), "signal not sent");
    }
}

/// Removes an ended run but for its log.
pub(super) async fn remove(tools: &Tools, work: &PodWork, id: &ContainerId) -> anyhow::Result<()> {
    match tools.runtime.delete(&work.uid, &id.to_string()).await {
        Ok(()) | Err(RuntimeError::NoPod { .. }) => {}
        Err(error) => return Err(error).context("delete the container"),
    }
    let dir = tools.layout.container(&work.uid, id);
    blocking(move || files::remove_folder(&dir).with_context(|| format!("remove {}", dir.display()))).await
}

/// Keeps the logs of this run and the one before.
fn drop_old_logs(dir: &Path, attempt: u32) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number =
            name.to_str().and_then(|n| n.split_once(".log")).and_then(|(n, _)| n.parse::<u32>().ok());
        if number.is_some_and(|n| n.saturating_add(1) < attempt) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
