//! What is: the pods on the node with their containers, and the images. Changed by [`crate::Fact`]s alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use gannet_protocols_model::{Container, Digest, ImageReference, Manifest, PodUid, Terminated, Timestamp};

use crate::container_id::Definition;
use crate::probes::Probes;
use crate::record::{ContainerRecord, PodRecord};
use crate::restart::Backoff;

/// All that the agent knows of its node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Pods that should run or of which something is left.
    pub pods: BTreeMap<PodUid, ObservedPod>,
    /// Images that are here, come, or did not come.
    pub images: Images,
}

/// The image store, and what goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Images {
    /// What each name stands for here.
    pub local: BTreeMap<ImageReference, Digest>,
    /// Pulls under way.
    pub pulling: BTreeSet<ImageReference>,
    /// Pulls that failed.
    pub failures: BTreeMap<ImageReference, Failure>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPod {
    /// What is remembered of it.
    pub record: PodRecord,
    /// The manifest that it should run, when last looked.
    pub wanted: Option<Digest>,
    /// Whether an action for it is under way; none is planned until it is done.
    pub busy: bool,
    /// Its namespaces and network, once they are there.
    pub sandbox: Option<Sandbox>,
    /// Why it could not be prepared or removed.
    pub failure: Option<Failure>,
    /// Its containers by name.
    pub containers: BTreeMap<String, ObservedContainer>,
    /// The manifest that it last should run: its hooks and the order of its end, for when nobody wants it any more.
    pub manifest: Option<Arc<Manifest>>,
}

/// A pod's sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Its address; `None` on the node's network.
    pub ip: Option<Ipv4Addr>,
}

/// One container: its present run, if any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedContainer {
    /// The run that the runtime knows.
    pub live: Option<Live>,
    /// Why it could not be started.
    pub failure: Option<Failure>,
    /// Why it could not be given the resources of its manifest.
    pub resize: Option<Failure>,
    /// Its probes in this run.
    pub probes: Probes,
}

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Counts runs from 0.
    pub attempt: u32,
    /// What it was started from.
    pub definition: Definition,
    /// How far it is.
    pub state: LiveState,
    /// Its `postStart` hook.
    pub post_start: Hook,
    /// Set once it was asked to end.
    pub stopping: Option<Stopping>,
}

/// How far a hook of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hook {
    /// Not begun.
    #[default]
    Waiting,
    /// Under way.
    Running,
    /// Over, or there is none.
    Done,
    /// It failed.
    Failed,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveState {
    /// Made and never started: the agent died in between.
    Created,
    /// Runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// Over.
    Exited {
        /// When it had begun, where that is known.
        started_at: Option<Timestamp>,
        /// How it ended.
        exit: Exit,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// 0 to 255; 128 and the signal's number where a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It wanted more memory than its limit.
    pub oom_killed: bool,
    /// When.
    pub at: Timestamp,
    /// Whether anybody saw it end; otherwise the code is a guess.
    pub known: bool,
    /// What the container itself said of it (`terminationMessagePath`).
    pub message: String,
}

/// A container that was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// When it was asked.
    pub since: Timestamp,
    /// When it is made to; until the signal was sent, when that is sent at the latest.
    pub deadline: Timestamp,
    /// Its `preStop` hook.
    pub hook: Hook,
    /// When its signal was sent.
    pub signalled: Option<Timestamp>,
    /// When it was last made to.
    pub killed: Option<Timestamp>,
}

/// Something that failed and will be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// As kubelet names it.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
    /// How long to wait.
    pub backoff: Backoff,
}

/// Why a pod that is to be removed is still there.
pub(crate) const REMOVAL_FAILED: &str = "FailedKillPod";

impl Failure {
    /// One more failure after `previous`.
    pub(crate) fn after(
        previous: Option<&Self>,
        reason: &'static str,
        message: String,
        now: Timestamp,
    ) -> Self {
        let backoff = Backoff::after(previous.map(|p| p.backoff), now, now);
        Self { reason, message, at: now, times: previous.map_or(0, |p| p.times).saturating_add(1), backoff }
    }

    /// When to try again; `None` is now.
    pub(crate) fn retry_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.backoff.until(self.at, now)
    }
}

impl Exit {
    /// As it stands in a status.
    pub fn to_terminated(&self, started_at: Option<Timestamp>) -> Terminated {
        let reason = match self {
            Self { known: false, .. } => "ContainerStatusUnknown",
            Self { oom_killed: true, .. } => "OOMKilled",
            Self { code: 0, .. } => "Completed",
            _ => "Error",
        };
        let message = if self.known || !self.message.is_empty() {
            self.message.clone()
        } else {
            "The container could not be located when the agent looked for it".to_owned()
        };
        Terminated {
            exit_code: self.code,
            signal: self.signal,
            reason: reason.to_owned(),
            message,
            started_at,
            finished_at: self.at,
        }
    }
}

impl Live {
    /// Whether it may have a process.
    pub fn is_running(&self) -> bool {
        matches!(self.state, LiveState::Running { .. })
    }
}

impl ObservedContainer {
    /// Whether the (running) container has started: its `postStart` hook is done, and its startup probe succeeded.
    pub fn is_started(&self, container: &Container) -> bool {
        let hooked = container.post_start.is_none()
            || self.live.as_ref().is_some_and(|live| live.post_start == Hook::Done);
        hooked && self.probes.started(container)
    }

    /// Whether the (running) container is ready.
    pub fn is_ready(&self, container: &Container) -> bool {
        self.is_started(container) && self.probes.ready(container)
    }
}

impl ObservedPod {
    /// A pod of which the node hears for the first time.
    pub(crate) fn new(record: PodRecord) -> Self {
        let containers =
            record.containers.keys().map(|name| (name.clone(), ObservedContainer::default())).collect();
        Self { record, wanted: None, busy: false, sandbox: None, failure: None, containers, manifest: None }
    }

    /// What failed with the old manifest may do with the new one.
    pub(crate) fn try_again(&mut self) {
        let containers = self.containers.values_mut();
        let failures = containers.flat_map(|c| c.failure.as_mut().into_iter().chain(c.resize.as_mut()));
        failures.chain(self.failure.as_mut()).for_each(|f| f.backoff.seconds = 0);
    }

    /// The container's present run.
    pub fn live(&self, container: &str) -> Option<&Live> {
        self.containers.get(container)?.live.as_ref()
    }

    /// The container's history.
    pub fn history(&self, container: &str) -> Option<&ContainerRecord> {
        self.record.containers.get(container)
    }

    /// Whether nothing of the pod will ever be started again: its containers are over, or an init container failed.
    pub(crate) fn is_finished(&self, manifest: &Manifest) -> bool {
        let over = |c: &Container| {
            self.history(&c.name).is_some_and(|h| h.over) && !self.live(&c.name).is_some_and(Live::is_running)
        };
        let failed = |c: &Container| over(c) && self.ended(&c.name).is_some_and(|e| e.exit_code != 0);
        manifest.init_containers.iter().filter(|c| !c.sidecar).any(failed)
            || manifest.containers.iter().all(over)
    }

    /// How the container's last run ended, if it is over and none has begun since.
    pub(crate) fn ended(&self, container: &str) -> Option<Terminated> {
        match self.live(container) {
            Some(Live { state: LiveState::Exited { started_at, exit }, .. }) => {
                Some(exit.to_terminated(*started_at))
            }
            Some(_) => None,
            None => self.history(container).filter(|h| !h.running).and_then(|h| h.last.clone()),
        }
    }
}
