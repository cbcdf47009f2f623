//! Carries out actions. Pods do not wait for each other: each has at most one task, which does its actions in order and
//! stops at the first that fails; a pull belongs to no pod. What came of it goes back as facts.

mod capabilities;
mod container;
mod damage;
mod devices;
mod environment;
mod etc;
mod files;
mod grpc;
mod hook;
mod http;
mod lost;
mod message;
mod mounts;
mod pod;
mod probe;
mod pull;
mod seccomp;
mod users;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use gannet_agent_core::{Action, ContainerId, DesiredPod, Exit, Fact, PodFact, ProbeRun};
use gannet_agent_devices::Devices;
use gannet_agent_net::PodNetwork;
use gannet_agent_runtime::Runtime;
use gannet_agent_spec::Allocatable;
use gannet_images::{ImageStore, RegistryConfig};
use gannet_protocols_model::{ByteSize, ImageReference, PodUid};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{Instrument as _, info_span, warn};

use crate::clock::Clock;
use crate::config::NodeSettings;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::network::Wish;

pub(crate) use damage::Looked;
pub(crate) use environment::allocatable;
pub(crate) use files::{remove_cgroup_parents, unmount_below};
pub(crate) use hook::HookRun;
pub(crate) use users::try_users;

/// What actions are carried out with.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) layout: Layout,
    pub(crate) clock: Clock,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) runtime: Runtime,
    pub(crate) images: ImageStore,
    pub(crate) registries: RegistryConfig,
    pub(crate) network: Arc<PodNetwork>,
    /// The network document in force.
    pub(crate) wish: watch::Receiver<Arc<Wish>>,
    pub(crate) node_name: String,
    pub(crate) node_ip: Ipv4Addr,
    pub(crate) node_hostname: String,
    pub(crate) node_memory: ByteSize,
    /// What of the node pods can have.
    pub(crate) allocatable: Allocatable,
    pub(crate) resolv_conf: PathBuf,
    /// Who has which device.
    pub(crate) devices: Arc<Devices>,
    /// Pods can have users of their own.
    pub(crate) user_namespaces: bool,
    /// Limits from the configuration.
    pub(crate) settings: NodeSettings,
    /// Images that were looked at for damage.
    pub(crate) looked: Looked,
}

/// What the actions of one pod work on.
#[derive(Debug, Clone)]
pub(crate) struct PodWork {
    pub(crate) uid: PodUid,
    /// What it should be; `None` for one that only goes.
    pub(crate) wanted: Option<Arc<DesiredPod>>,
    pub(crate) ip: Option<Ipv4Addr>,
}

impl Tools {
    /// Adds to an exit what the container itself says of it: its termination message.
    pub(crate) async fn with_message(
        &self,
        pod: &PodUid,
        id: &ContainerId,
        exit: Exit,
        wanted: Option<&DesiredPod>,
    ) -> Exit {
        let from_log = exit.code != 0
            && wanted.and_then(|w| w.container(&id.name)).is_some_and(|c| c.termination_message_from_log);
        let sources = message::Sources {
            file: message::file_in(&self.layout.container(pod, id)),
            log: from_log.then(|| self.layout.log(pod, &id.name, id.attempt)),
        };
        // As kubelet joins the two: what the container said, then what the runtime says.
        let said = tokio::task::spawn_blocking(move || message::read(&sources)).await.unwrap_or_default();
        let message = match (said.is_empty(), exit.message.is_empty()) {
            (_, true) => said,
            (true, false) => exit.message.clone(),
            (false, false) => format!("{said}: {}", exit.message),
        };
        Exit { message, ..exit }
    }
}

/// Runs actions as tasks, which end with it.
#[derive(Debug)]
pub(crate) struct Executor {
    tools: Arc<Tools>,
    facts: mpsc::Sender<Fact>,
    tasks: JoinSet<()>,
}

impl Executor {
    pub(crate) fn new(tools: Arc<Tools>, facts: mpsc::Sender<Fact>) -> Self {
        Self { tools, facts, tasks: JoinSet::new() }
    }

    /// The node's address.
    pub(crate) fn node_ip(&self) -> Ipv4Addr {
        self.tools.node_ip
    }

    /// Starts to pull an image.
    pub(crate) fn pull(&mut self, image: ImageReference, ask: bool) {
        let (tools, facts) = (Arc::clone(&self.tools), self.facts.clone());
        let span = info_span!("pull", image = %image);
        self.spawn(async move { pull::pull(&tools, image, ask, &facts).await }.instrument(span));
    }

    /// Starts to carry out the actions of a pod.
    pub(crate) fn work(&mut self, mut work: PodWork, actions: Vec<Action>) {
        let (tools, facts) = (Arc::clone(&self.tools), self.facts.clone());
        let span = info_span!("pod", pod.uid = %work.uid);
        let task = async move {
            for action in actions {
                if !pod::carry_out(&tools, &mut work, action, &facts).await {
                    break;
                }
            }
            let _ = facts.send(Fact::Pod(work.uid, PodFact::Idle)).await;
        };
        self.spawn(task.instrument(span));
    }

    /// Starts a probe.
    pub(crate) fn probe(&mut self, run: ProbeRun, container: String) {
        let (tools, facts) = (Arc::clone(&self.tools), self.facts.clone());
        let span =
            info_span!("probe", pod.uid = %run.pod, container = run.container, kind = run.kind.as_str());
        let task = async move {
            let result = probe::run(&tools, &run, &container).await;
            let ProbeRun { pod, container, attempt, kind, .. } = run;
            let fact = match result {
                Ok(result) => PodFact::ProbeEnded { container, attempt, kind, result },
                Err(error) => PodFact::ProbeLost { container, attempt, kind, message: chain(&error) },
            };
            let _ = facts.send(Fact::Pod(pod, fact)).await;
        };
        self.spawn(task.instrument(span));
    }

    /// Starts a hook.
    pub(crate) fn hook(&mut self, hook: HookRun) {
        let (tools, facts) = (Arc::clone(&self.tools), self.facts.clone());
        let span = info_span!("hook", pod.uid = %hook.pod, container = %hook.id, kind = ?hook.kind);
        let task = async move {
            let result = hook::run(&tools, &hook).await;
            if let Err(error) = &result {
                warn!(error, "hook failed");
            }
            let HookRun { pod, id, kind, .. } = hook;
            let _ = facts.send(Fact::Pod(pod, PodFact::HookEnded { id, kind, result })).await;
        };
        self.spawn(task.instrument(span));
    }

    /// A container has ended: reads what it says of that, and tells the whole.
    pub(crate) fn exited(
        &mut self,
        pod: PodUid,
        id: ContainerId,
        exit: Exit,
        wanted: Option<Arc<DesiredPod>>,
    ) {
        let (tools, facts) = (Arc::clone(&self.tools), self.facts.clone());
        self.spawn(async move {
            let exit = tools.with_message(&pod, &id, exit, wanted.as_deref()).await;
            let _ = facts.send(Fact::Pod(pod, PodFact::Exited { id, exit })).await;
        });
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        // Those that ended; a panic was told by its own message.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(task);
    }

    pub(crate) fn tools(&self) -> &Arc<Tools> {
        &self.tools
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
