//! Starts, signals and removes containers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gannet_agent_core::{ContainerId, DesiredPod, PodFact, StartFailure, StartStep};
use gannet_agent_runtime::{ContainerSpec, ErrorKind, LogLimits, RuntimeError};
use gannet_agent_shim::fault::point;
use gannet_agent_spec::{
    self as spec, ContainerContext, DeviceNode, EtcFiles, ImageConfig, PodContext, SpecError, VolumeMount,
};
use gannet_images::Image;
use gannet_protocols_model::{Container, Digest, Manifest, Resources};
use oci_spec::runtime::{LinuxSeccomp, Spec};
use tracing::{info, warn};

use super::environment::{NodeSide, variables};
use super::lost::Tries;
use super::mounts::{mounts, volumes};
use super::pod::{blocking, wanted};
use super::{PodWork, Tools, capabilities, chain, devices, etc, files, message, seccomp, users};

pub(super) const SIGKILL: i32 = 9;

/// Why a start failed, and what is to be told of it.
struct NotStarted(StartStep, anyhow::Error);

fn at<E: Into<anyhow::Error>>(step: StartStep) -> impl FnOnce(E) -> NotStarted {
    move |error| NotStarted(step, error.into())
}

/// Creates and starts a run. Where that fails nothing of it is left.
pub(super) async fn start(tools: &Tools, work: &PodWork, id: ContainerId, image: Digest) -> PodFact {
    let mut tries = Tries::default();
    loop {
        let NotStarted(step, error) = match try_start(tools, work, &id, image).await {
            Ok(fact) => return fact,
            Err(error) => error,
        };
        let left = remove(tools, work, &id).await;
        if left.is_ok() && tries.again(&error).await {
            continue;
        }
        let message = format!("{error:#}");
        warn!(container = %id, ?step, error = message, "container not started");
        if let Err(error) = left {
            warn!(container = %id, error = format!("{error:#}"), "cannot remove what is left of the container");
        }
        return PodFact::NotStarted { id, failure: StartFailure { step, message } };
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
    let own = container.stop_signal.clone();
    let stop_signal = match own {
        Some(_) => spec::stop_signal(&ImageConfig { stop_signal: own, ..ImageConfig::default() }),
        None => spec::stop_signal(&config),
    };
    let node = NodeSide::of(tools);
    let context = node.pod(work, pod, manifest);
    let variables = variables(tools, &context, container).map_err(at(StartStep::Config))?;
    let places = volumes(tools, work).await.map_err(at(StartStep::Create))?;
    let mounts = mounts(tools.layout.pod(&work.uid), manifest, container, places, &variables);
    let mounts = mounts.await.map_err(at(StartStep::Config))?;
    let given = devices::allocate(tools, &work.uid, manifest, container).await;
    let given = given.map_err(at(StartStep::Devices))?;
    let profile = seccomp::profile(&tools.settings.seccomp_dir, container).map_err(at(StartStep::Create))?;
    let dir = tools.layout.container(&work.uid, id);
    let rootfs = mount(tools, work, manifest, found, dir.clone()).await.map_err(at(StartStep::Create))?;
    point("executor.start.mounted");
    let termination_log = message::make(&dir)
        .with_context(|| format!("make the termination log in {}", dir.display()))
        .map_err(at(StartStep::Create))?;
    let prepared = Prepared {
        pod,
        manifest,
        container,
        config: &config,
        context: &context,
        variables: &variables,
        mounts: &mounts,
        rootfs: &rootfs,
        termination_log: &termination_log,
        devices: &given,
        seccomp: profile.as_ref(),
    };
    let spec = prepared.spec(tools, work)?;
    let log_path = tools.layout.log(&work.uid, &id.name, id.attempt);
    drop_old_logs(&tools.layout.logs(&work.uid, &id.name), id.attempt);
    let bundle = dir.join("bundle");
    let container_spec =
        ContainerSpec { id: id.to_string(), spec, bundle, log_path, log_limits: log_limits(tools) };
    tools.runtime.create(&work.uid, container_spec).await.map_err(refusal)?;
    point("executor.start.created");
    let at_time = tools.clock.now();
    tools.runtime.start_container(&work.uid, &id.to_string()).await.map_err(refusal)?;
    point("executor.start.started");
    info!(container = %id, "container started");
    let (id, name, resources) = (id.clone(), container.image.clone(), container.resources);
    Ok(PodFact::Started { id, image: name, digest: image, stop_signal, resources, at: at_time })
}

fn log_limits(tools: &Tools) -> LogLimits {
    let logs = tools.settings.logs;
    LogLimits { max_bytes: logs.max_size.0, max_files: logs.max_files }
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

async fn mount(
    tools: &Tools,
    work: &PodWork,
    manifest: &Manifest,
    image: Image,
    dir: PathBuf,
) -> anyhow::Result<PathBuf> {
    if let Some(own) = users::of_pod(tools, &work.uid, manifest).await? {
        return users::mount(tools, &work.uid, own, image, dir).await;
    }
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
    context: &'a PodContext<'a>,
    variables: &'a [(String, String)],
    mounts: &'a [VolumeMount],
    rootfs: &'a Path,
    termination_log: &'a Path,
    devices: &'a [DeviceNode],
    seccomp: Option<&'a LinuxSeccomp>,
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
        let names = etc::names(tools, self.pod, self.manifest).map_err(at(StartStep::Config))?;
        let context = ContainerContext {
            pod: self.context,
            container: self.container,
            image: self.config,
            rootfs: self.rootfs,
            passwd: &passwd,
            group: &group,
            hostname: &names.kernel,
            variables: self.variables,
            mounts: self.mounts,
            etc: &etc,
            termination_log: Some(self.termination_log),
            devices: self.devices,
            node: &spec::NodeFacts {
                pids_limit: tools.settings.pod_pids_limit.into(),
                apparmor: apparmor(),
                user_namespaces: tools.user_namespaces,
            },
            seccomp: self.seccomp,
        };
        let mut spec = spec::build(&context).map_err(|error| NotStarted(step_of(&error), error.into()))?;
        capabilities::bound(&mut spec, &self.container.security);
        capabilities::bound_oom_score(&mut spec);
        Ok(spec)
    }
}

/// The node's own profile is not loaded by anybody yet; those of the operator are used by name.
fn apparmor() -> spec::AppArmor<'static> {
    match gannet_agent_runtime::apparmor_enabled() {
        true => spec::AppArmor::Enabled { default: None },
        false => spec::AppArmor::Absent,
    }
}

/// What kubelet finds when it reads the manifest, and what its runtime finds when it makes the container.
fn step_of(error: &SpecError) -> StartStep {
    match error {
        SpecError::NoCommand
        | SpecError::WorkingDir { .. }
        | SpecError::User { .. }
        | SpecError::Group { .. }
        | SpecError::Capability { .. } => StartStep::Create,
        _ => StartStep::Config,
    }
}

/// Gives a running container other limits.
pub(super) async fn resize(tools: &Tools, work: &PodWork, id: ContainerId, resources: Resources) -> PodFact {
    let node = &tools.allocatable;
    let asked = [
        ("cpu", resources.cpu_request.map(|cpu| cpu.0), node.cpu.0),
        ("memory", resources.memory_request.map(|memory| memory.0), node.memory.0),
    ];
    if let Some((what, Some(asked), capacity)) =
        asked.into_iter().find(|(_, asked, capacity)| asked.is_some_and(|asked| asked > *capacity))
    {
        let message =
            format!("Node didn't have enough capacity: {what}, requested: {asked}, capacity: {capacity}");
        return PodFact::NotResized { id, message, never: true };
    }
    let pod = wanted(work).ok().map(|(_, manifest)| spec::pod_limits(manifest));
    point("executor.resize.begun");
    match tools.runtime.resize(&work.uid, &id.to_string(), spec::limits(&resources), pod).await {
        Ok(()) => {
            info!(container = %id, "container resized");
            PodFact::Resized { id, resources }
        }
        Err(error) => {
            let message = match error.kind() {
                Some(ErrorKind::UnknownRequest) => {
                    "the pod was started by an earlier release: its containers are resized when they start anew".to_owned()
                }
                _ => chain(&error),
            };
            warn!(container = %id, error = message, "container not resized");
            PodFact::NotResized { id, message, never: false }
        }
    }
}

/// Sends a signal. A container that is gone needs none: its end is told by the runtime.
pub(super) async fn signal(tools: &Tools, work: &PodWork, id: &ContainerId, signal: i32) {
    info!(container = %id, signal, "signal container");
    point("executor.stop.begun");
    if let Err(error) = tools.runtime.signal(&work.uid, &id.to_string(), signal).await {
        warn!(container = %id, error = chain(&error), "signal not sent");
    }
}

/// Removes an ended run but for its log.
pub(super) async fn remove(tools: &Tools, work: &PodWork, id: &ContainerId) -> anyhow::Result<()> {
    let mut tries = Tries::default();
    loop {
        match tools.runtime.delete(&work.uid, &id.to_string()).await {
            Ok(()) | Err(RuntimeError::NoPod { .. }) => break,
            Err(error) => {
                let error = anyhow::Error::new(error).context("delete the container");
                if !tries.again(&error).await {
                    return Err(error);
                }
            }
        }
    }
    point("executor.remove.deleted");
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
