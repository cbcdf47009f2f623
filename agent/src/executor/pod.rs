//! Prepares and removes pods, and hands the actions of containers on.

use anyhow::{Context as _, anyhow};
use gannet_agent_core::{Action, DesiredPod, Fact, PodFact, PodStep};
use gannet_agent_runtime::PodSandbox;
use gannet_agent_shim::fault::point;
use gannet_protocols_model::Manifest;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::lost::Tries;
use super::mounts::volumes;
use super::{PodWork, Tools, container, damage, devices, etc, files, users};
use crate::network::host_ports;

/// Carries out one action of a pod and tells what came of it; false where what follows must be left out.
pub(super) async fn carry_out(
    tools: &Tools,
    work: &mut PodWork,
    action: Action,
    facts: &mpsc::Sender<Fact>,
) -> bool {
    let outcome = match action {
        // Those that the loop carries out itself.
        Action::PullImage { .. }
        | Action::EndPod { .. }
        | Action::RunPostStart { .. }
        | Action::BeginStop { .. } => return true,
        Action::PreparePod { .. } => prepare(tools, work).await,
        Action::UpdateVolumes { .. } => update(tools, work).await,
        Action::RemovePod { .. } => match remove(tools, work).await {
            Ok(()) => Ok(PodFact::Removed),
            Err(error) => Err((PodStep::Removal, error)),
        },
        Action::ClearPod { .. } => match remove(tools, work).await {
            Ok(()) => Ok(PodFact::Cleared),
            Err(error) => Err((PodStep::Removal, error)),
        },
        Action::ResizeContainer { id, resources, .. } => {
            Ok(container::resize(tools, work, id, resources).await)
        }
        Action::StartContainer { id, image, .. } => {
            let fact = container::start(tools, work, id, image).await;
            damage::look(tools, work, image, &fact, facts).await;
            Ok(fact)
        }
        Action::StopContainer { id, signal, deadline, why, .. } => {
            container::signal(tools, work, &id, signal).await;
            Ok(PodFact::StopSent { id, deadline, why })
        }
        Action::KillContainer { id, .. } => {
            container::signal(tools, work, &id, container::SIGKILL).await;
            Ok(PodFact::KillSent { id })
        }
        Action::RemoveContainer { id, .. } => match container::remove(tools, work, &id).await {
            Ok(()) => Ok(PodFact::ContainerRemoved { id }),
            Err(error) => Err((PodStep::Removal, error)),
        },
    };
    let (fact, go_on) = match outcome {
        // Also one that tells of a container that cannot start: that must not hold up the others of its pod.
        Ok(fact) => (fact, true),
        Err((step, error)) => {
            let message = format!("{error:#}");
            warn!(?step, error = message, "action failed");
            (PodFact::Failed { step, message }, false)
        }
    };
    if let PodFact::Prepared { ip, .. } = &fact {
        work.ip = *ip;
    }
    let freed = matches!(fact, PodFact::Removed | PodFact::Cleared) && !tools.devices.is_empty();
    let told = facts.send(Fact::Pod(work.uid.clone(), fact)).await.is_ok();
    if freed {
        // Others may wait for what the pod had.
        let _ = facts.send(Fact::DevicesChanged).await;
    }
    told && go_on
}

type Outcome = Result<PodFact, (PodStep, anyhow::Error)>;

/// What the pod should be, with its manifest.
pub(super) fn wanted(work: &PodWork) -> anyhow::Result<(&DesiredPod, &Manifest)> {
    let wanted = work.wanted.as_deref().ok_or_else(|| anyhow!("pod is not desired any more"))?;
    let manifest =
        wanted.manifest.as_deref().ok_or_else(|| anyhow!("the pod's manifest is not in the ledger"))?;
    Ok((wanted, manifest))
}

async fn prepare(tools: &Tools, work: &PodWork) -> Outcome {
    let (wanted, manifest) = wanted(work).map_err(|e| (PodStep::Sandbox, e))?;
    volumes(tools, work).await.map_err(|e| (PodStep::Volumes, e))?;
    point("executor.prepare.volumes");
    let sandbox = sandbox(tools, work, wanted, manifest).await.map_err(|e| (PodStep::Sandbox, e))?;
    info!(ip = ?sandbox, "pod prepared");
    Ok(PodFact::Prepared { manifest: wanted.entry.manifest, fields: wanted.fields_digest(), ip: sandbox })
}

async fn sandbox(
    tools: &Tools,
    work: &PodWork,
    wanted: &DesiredPod,
    manifest: &Manifest,
) -> anyhow::Result<Option<std::net::Ipv4Addr>> {
    let users = users::of_pod(tools, &work.uid, manifest).await?;
    let names = etc::names(tools, wanted, manifest)?;
    let mut sandbox = PodSandbox {
        host_ipc: manifest.host_ipc,
        host_pid: manifest.host_pid,
        share_pid: manifest.share_process_namespace,
        users,
        resources: Some(Box::new(gannet_agent_spec::pod_limits(manifest))),
        ..PodSandbox::new(work.uid.clone(), names.kernel.clone())
    };
    // A network namespace that belongs to the pod's users is made with them.
    let made = tools.runtime.network_namespace(&work.uid);
    let made = users.map(|_| made.as_path());
    if made.is_some() {
        ensure(tools, &sandbox).await?;
    }
    let attachment = if manifest.host_network {
        None
    } else {
        let document = tools.wish.borrow().document.clone();
        let document = document.context("the hub has not given this node a range of addresses for pods")?;
        tools.network.configure(&document.pod_cidr).await.context("pod network")?;
        let ports = host_ports(manifest).map(|(protocol, port, _)| (protocol, port)).collect();
        Some(tools.network.attach(&work.uid, &ports, made).await.context("pod network")?)
    };
    point("executor.prepare.network");
    let ip = attachment.as_ref().map(|attached| attached.ip);
    etc::write(tools, work, wanted, manifest, &names, ip).await?;
    if made.is_none() {
        sandbox.netns = attachment.map(|attached| attached.netns);
        ensure(tools, &sandbox).await?;
    }
    point("executor.prepare.sandbox");
    Ok(ip)
}

async fn ensure(tools: &Tools, sandbox: &PodSandbox) -> anyhow::Result<()> {
    let mut tries = Tries::default();
    while let Err(error) = tools.runtime.ensure_pod(sandbox.clone()).await {
        let error = anyhow::Error::new(error).context("start the pod's shim");
        if !tries.again(&error).await {
            return Err(error);
        }
    }
    Ok(())
}

async fn update(tools: &Tools, work: &PodWork) -> Outcome {
    let (wanted, _) = wanted(work).map_err(|e| (PodStep::Volumes, e))?;
    volumes(tools, work).await.map_err(|e| (PodStep::Volumes, e))?;
    Ok(PodFact::VolumesUpdated { manifest: wanted.entry.manifest, fields: wanted.fields_digest() })
}

async fn remove(tools: &Tools, work: &PodWork) -> anyhow::Result<()> {
    let mut tries = Tries::default();
    while let Err(error) = tools.runtime.remove_pod(&work.uid).await {
        let error = anyhow::Error::new(error).context("remove the pod's containers");
        if !tries.again(&error).await {
            return Err(error);
        }
    }
    point("executor.pod.removed");
    tools.network.detach(&work.uid).await.context("pod network")?;
    point("executor.pod.detached");
    let (dir, uid) = (tools.layout.pod(&work.uid), work.uid.clone());
    blocking(move || {
        files::remove_pod_cgroups(uid.as_str());
        files::unmount_below(&dir.join("containers")).context("unmount the pod's containers")?;
        point("executor.remove.unmounted");
        gannet_agent_volumes::cleanup(&dir).context("remove the pod's volumes")?;
        files::remove_folder(&dir).with_context(|| format!("remove {}", dir.display()))
    })
    .await?;
    devices::free(tools, &work.uid).await.context("free the pod's devices")?;
    info!("pod removed");
    Ok(())
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(anyhow!(e)))
}
