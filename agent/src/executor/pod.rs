//! Prepares and removes pods, and hands the actions of containers on.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use gannet_agent_core::{Action, DesiredPod, Fact, PodFact, PodStep};
use gannet_agent_runtime::PodSandbox;
use gannet_agent_spec::node_files;
use gannet_protocols_model::{Digest, Manifest};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{PodWork, Tools, container, files};

/// Carries out one action of a pod and tells what came of it; false where what follows must be left out.
pub(super) async fn carry_out(
    tools: &Tools,
    work: &mut PodWork,
    action: Action,
    facts: &mpsc::Sender<Fact>,
) -> bool {
    let outcome = match action {
        Action::PullImage { .. } => return true,
        Action::PreparePod { .. } => prepare(tools, work).await,
        Action::UpdateVolumes { .. } => update(tools, work).await,
        Action::RemovePod { .. } => match remove(tools, work).await {
            Ok(()) => Ok(PodFact::Removed),
            Err(error) => Err((PodStep::Removal, error)),
        },
        Action::StartContainer { id, image, .. } => Ok(container::start(tools, work, id, image).await),
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
    facts.send(Fact::Pod(work.uid.clone(), fact)).await.is_ok() && go_on
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
    let sandbox = sandbox(tools, work, wanted, manifest).await.map_err(|e| (PodStep::Sandbox, e))?;
    info!(ip = ?sandbox, "pod prepared");
    Ok(PodFact::Prepared { manifest: wanted.entry.manifest, ip: sandbox })
}

async fn sandbox(
    tools: &Tools,
    work: &PodWork,
    wanted: &DesiredPod,
    manifest: &Manifest,
) -> anyhow::Result<Option<std::net::Ipv4Addr>> {
    let attachment = if manifest.host_network {
        None
    } else {
        let document = tools.wish.borrow().document.clone();
        let document = document.context("the hub has not given this node a range of addresses for pods")?;
        tools.network.configure(&document.pod_cidr).await.context("pod network")?;
        Some((tools.network.attach(&work.uid).await.context("pod network")?, document))
    };
    let hostname = node_files::hostname(&wanted.entry, manifest, &tools.node_hostname);
    let ip = attachment.as_ref().map(|(attached, _)| attached.ip);
    let dns = match &attachment {
        Some((_, document)) => {
            tools.network.dns_address().await.map(|server| (server, document.domain.clone()))
        }
        None => None,
    };
    let node_resolv = fs::read_to_string(&tools.resolv_conf).unwrap_or_default();
    let dns = dns.as_ref().map(|(server, domain)| (*server, domain.as_str()));
    let resolv = node_files::resolv_conf(&wanted.entry, manifest, dns, &node_resolv);
    // On the node's network a pod sees the node's own names.
    let hosts = if manifest.host_network { fs::read_to_string("/etc/hosts").ok() } else { None };
    let hosts = hosts.unwrap_or_else(|| node_files::hosts(&hostname, ip));
    let etc = tools.layout.etc(&work.uid);
    let write = || -> io::Result<()> {
        fs::create_dir_all(&etc)?;
        fs::write(etc.join("hosts"), hosts)?;
        fs::write(etc.join("hostname"), format!("{hostname}\n"))?;
        fs::write(etc.join("resolv.conf"), resolv)
    };
    write().with_context(|| format!("write {}", etc.display()))?;
    let netns = attachment.map(|(attached, _)| attached.netns);
    let sandbox = PodSandbox { uid: work.uid.clone(), hostname, netns, host_ipc: false };
    tools.runtime.ensure_pod(sandbox).await.context("start the pod's shim")?;
    Ok(ip)
}

async fn update(tools: &Tools, work: &PodWork) -> Outcome {
    let (wanted, _) = wanted(work).map_err(|e| (PodStep::Volumes, e))?;
    volumes(tools, work).await.map_err(|e| (PodStep::Volumes, e))?;
    Ok(PodFact::VolumesUpdated { manifest: wanted.entry.manifest })
}

/// Makes the pod's volumes, or brings them up to date. Gives each one's place on the node.
pub(super) async fn volumes(tools: &Tools, work: &PodWork) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let wanted = work.wanted.clone().context("pod is not desired any more")?;
    let dir = tools.layout.pod(&work.uid);
    let ledger = std::sync::Arc::clone(&tools.ledger);
    blocking(move || {
        let manifest = wanted.manifest.as_deref().context("the pod's manifest is not in the ledger")?;
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let lookup = |digest: &Digest| ledger.blob(digest);
        Ok(gannet_agent_volumes::prepare(&dir, manifest, &lookup)?)
    })
    .await
}

async fn remove(tools: &Tools, work: &PodWork) -> anyhow::Result<()> {
    tools.runtime.remove_pod(&work.uid).await.context("remove the pod's containers")?;
    tools.network.detach(&work.uid).await.context("pod network")?;
    let (dir, uid) = (tools.layout.pod(&work.uid), work.uid.clone());
    blocking(move || {
        files::remove_pod_cgroups(uid.as_str());
        files::unmount_below(&dir.join("containers")).context("unmount the pod's containers")?;
        gannet_agent_volumes::cleanup(&dir).context("remove the pod's volumes")?;
        files::remove_folder(&dir).with_context(|| format!("remove {}", dir.display()))
    })
    .await?;
    info!("pod removed");
    Ok(())
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(anyhow!(e)))
}
