//! Follows devices that come and go: the node's counts, the containers that have them, and those that wait for one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gannet_agent_core::{ContainerId, Fact};
use gannet_agent_devices::{Change, ChangeKind, Devices, Grant, UEVENT_BYTES, is_of_device, uevents};
use gannet_agent_runtime::{DeviceChange, ErrorKind, RuntimeError};
use gannet_agent_spec::{DeviceNode, device_node};
use gannet_protocols_model::{ContainerState, EventKind, NodeEvent, NodeInfo, PodPhase, PodStatus, PodUid};
use oci_spec::runtime::Spec;
use rustix::io::Errno;
use tokio::net::UnixDatagram;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::executor::{Tools, chain};
use crate::logs::Statuses;

/// Even if nobody tells: not every `/dev` is the kernel's.
const PERIOD: Duration = Duration::from_secs(5);
/// What comes, comes with links and siblings: udev needs a moment.
const SETTLE: Duration = Duration::from_millis(300);

/// Works with.
pub(crate) struct DeviceTask {
    pub(crate) tools: Arc<Tools>,
    pub(crate) statuses: watch::Receiver<Statuses>,
    pub(crate) info: watch::Sender<NodeInfo>,
    pub(crate) events: mpsc::Sender<NodeEvent>,
    pub(crate) facts: mpsc::Sender<Fact>,
}

impl DeviceTask {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if self.tools.devices.is_empty() {
            return stop.cancelled().await;
        }
        let mut socket = listen()
            .map_err(
                |error| warn!(%error, "the kernel does not tell of devices: they are looked for instead"),
            )
            .ok();
        let mut look = tokio::time::interval(PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                told = news(socket.as_ref()) => match told {
                    Ok(()) => tokio::select! {
                        () = tokio::time::sleep(SETTLE) => {}
                        () = stop.cancelled() => return,
                    },
                    Err(error) => {
                        warn!(%error, "the kernel does not tell of devices any more");
                        socket = None;
                    }
                },
                changed = self.statuses.changed() => match changed {
                    Ok(()) => {
                        self.free_finished().await;
                        continue;
                    }
                    Err(_) => return,
                },
                _ = look.tick() => {}
                () = stop.cancelled() => return,
            }
            self.look().await;
        }
    }

    /// As with kubelet, a pod that is over holds nothing, though it still stands there.
    async fn free_finished(&mut self) {
        let statuses = self.statuses.borrow_and_update().clone();
        let over = |uid: &PodUid| statuses.get(uid).is_some_and(is_over);
        let mut freed = false;
        for uid in self.tools.devices.holders().into_iter().filter(over) {
            let devices = Arc::clone(&self.tools.devices);
            info!(pod.uid = %uid, "the pod is over, its devices are free");
            match tokio::task::spawn_blocking(move || devices.free(&uid)).await {
                Ok(Ok(())) => freed = true,
                Ok(Err(error)) => warn!(error = chain(&error), "devices of a pod that is over are not free"),
                Err(error) => warn!(%error, "devices of a pod that is over are not free"),
            }
        }
        if freed {
            let _ = self.facts.send(Fact::DevicesChanged).await;
        }
    }

    async fn look(&self) {
        let devices = Arc::clone(&self.tools.devices);
        let looked = tokio::task::spawn_blocking(move || (devices.rescan(), devices.counts())).await;
        let Ok((changes, counts)) = looked else { return };
        let new = self.info.send_if_modified(|info| {
            let new = info.devices != counts;
            if new {
                info!(?counts, "devices changed");
                info.devices = counts;
            }
            new
        });
        match changes {
            Ok(changes) => {
                for change in changes {
                    self.follow(change).await;
                }
            }
            Err(error) => warn!(error = chain(&error), "devices are not followed"),
        }
        if new {
            let _ = self.facts.send(Fact::DevicesChanged).await;
        }
    }

    /// Tells of a change, and brings the container that it is about up to date.
    async fn follow(&self, change: Change) {
        let Change { pod, container, resource, unit, kind } = change;
        let (kind, reason, message) = match &kind {
            ChangeKind::Gone(nodes) => {
                let failed = self.take_away(&pod, &container, nodes).await.err();
                if let Some(error) = failed {
                    warn!(pod.uid = %pod, container, unit, error, "the container keeps the node of a device that is gone");
                }
                (EventKind::Warning, "DeviceGone", format!("Device {unit} of {resource} is gone"))
            }
            ChangeKind::Back { old, new } => match self.give(&pod, &container, old, new).await {
                Ok(()) => (EventKind::Normal, "DeviceBack", format!("Device {unit} of {resource} is back")),
                Err(error) => {
                    let text =
                        format!("Device {unit} of {resource} is back, but not in the container: {error}");
                    (EventKind::Warning, "DeviceBack", text)
                }
            },
        };
        info!(pod.uid = %pod, container, unit, reason, "device");
        let event = NodeEvent {
            at: self.tools.clock.now(),
            pod: Some(pod),
            container: Some(container),
            kind,
            reason: reason.to_owned(),
            message,
        };
        // Where nobody takes events, the newest are left out: the counts tell what matters.
        let _ = self.events.try_send(event);
    }

    async fn give(
        &self,
        pod: &PodUid,
        container: &str,
        old: &[DeviceNode],
        new: &[DeviceNode],
    ) -> Result<(), String> {
        let Some(run) = self.last_run(pod, container) else { return Ok(()) };
        for node in old.iter().filter(|node| !new.contains(node)) {
            self.change(pod, &run, node, true).await?;
        }
        for node in new {
            self.change(pod, &run, node, false).await?;
        }
        Ok(())
    }

    async fn take_away(&self, pod: &PodUid, container: &str, nodes: &[DeviceNode]) -> Result<(), String> {
        let Some(run) = self.last_run(pod, container) else { return Ok(()) };
        for node in nodes {
            self.change(pod, &run, node, true).await?;
        }
        Ok(())
    }

    async fn change(
        &self,
        pod: &PodUid,
        run: &ContainerId,
        node: &DeviceNode,
        remove: bool,
    ) -> Result<(), String> {
        let bundle = self.tools.layout.container(pod, run).join("bundle");
        let user = tokio::task::spawn_blocking(move || user(&bundle)).await;
        let user = user.map_err(|e| e.to_string())?.map_err(|e| format!("its user is not known: {e}"))?;
        let change = DeviceChange { node: device_node(node, user), access: node.access.clone(), remove };
        match self.tools.runtime.change_device(pod, &run.to_string(), change).await {
            Ok(()) | Err(RuntimeError::NoPod { .. }) => Ok(()),
            // One that does not run gets its devices when it starts.
            Err(error) if matches!(error.kind(), Some(ErrorKind::NotFound | ErrorKind::BadState)) => Ok(()),
            Err(error) => Err(chain(&error)),
        }
    }

    /// The container's last run, of which the runtime knows whether it still runs.
    fn last_run(&self, pod: &PodUid, container: &str) -> Option<ContainerId> {
        let entries = std::fs::read_dir(self.tools.layout.containers(pod)).ok()?.flatten();
        let runs = entries.filter_map(|e| e.file_name().to_str()?.parse::<ContainerId>().ok());
        runs.filter(|run| run.name == container).max_by_key(|run| run.attempt)
    }
}

fn is_over(status: &PodStatus) -> bool {
    let mut all = status.init_containers.iter().chain(&status.containers);
    matches!(status.phase, PodPhase::Succeeded | PodPhase::Failed)
        && !all.any(|c| matches!(c.state, ContainerState::Running { .. }))
}

/// Which device nodes the containers of a pod have, for people.
pub(crate) fn of_pod(devices: &Devices, pod: &PodUid) -> BTreeMap<String, Vec<String>> {
    let line = |grant: &Grant, node: &DeviceNode| {
        let gone = if grant.gone { ", gone" } else { "" };
        format!(
            "{} is {} ({}{gone})",
            node.path_in_container.display(),
            node.path_on_node.display(),
            grant.class
        )
    };
    let lines = |grants: Vec<Grant>| {
        let nodes = grants.iter().flat_map(|grant| grant.nodes.iter().map(move |node| (grant, node)));
        nodes.map(|(grant, node)| line(grant, node)).collect()
    };
    devices.grants(pod).into_iter().map(|(container, grants)| (container, lines(grants))).collect()
}

/// The user and group that a container runs as.
fn user(bundle: &Path) -> Result<(u32, u32), oci_spec::OciSpecError> {
    let spec = Spec::load(bundle.join("config.json"))?;
    Ok(spec.process().as_ref().map_or((0, 0), |process| (process.user().uid(), process.user().gid())))
}

/// Any socket of datagrams can be received from in the same way, so that of the kernel's news passes for one of those that
/// tokio knows.
fn listen() -> io::Result<UnixDatagram> {
    UnixDatagram::from_std(uevents()?.into())
}

/// Waits until the kernel or udev tells of a device.
async fn news(socket: Option<&UnixDatagram>) -> io::Result<()> {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut message = vec![0; UEVENT_BYTES];
    loop {
        match socket.recv(&mut message).await {
            Ok(length) if is_of_device(&message[..length]) => return Ok(()),
            Ok(_) => {}
            // Some were lost.
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
