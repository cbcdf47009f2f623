//! A node made of nothing, for tests: carries out every action by turning it into the facts that it would lead to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_model::{
    ByteSize, Digest, Generation, Manifest, NodeEvent, PodEntry, PodStatus, PodUid, Timestamp,
};

use crate::{
    Action, ContainerId, DesiredPod, DesiredWorld, Exit, Fact, HookKind, LiveState, Observed, PodFact,
    StartFailure, StartStep, observed_statuses, plan, wake_at,
};

pub(crate) struct Node {
    pub(crate) desired: DesiredWorld,
    pub(crate) observed: Observed,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<NodeEvent>,
    /// Every action ever done, oldest first.
    pub(crate) done: Vec<Action>,
}

pub(crate) fn uid(name: &str) -> PodUid {
    name.parse().unwrap()
}

/// A manifest of containers given as `name`, `init:name`, `side:name`, each with the image `name:1`.
pub(crate) fn manifest(policy: &str, containers: &[&str]) -> Manifest {
    let mut lists: BTreeMap<bool, Vec<serde_json::Value>> = BTreeMap::new();
    for container in containers {
        let (kind, name) = container.split_once(':').unwrap_or(("", container));
        let mut json =
            serde_json::json!({"name": name, "image": format!("{name}:1"), "pull_policy": "IfNotPresent"});
        if kind == "side" {
            json["sidecar"] = true.into();
        }
        lists.entry(!kind.is_empty()).or_default().push(json);
    }
    let json = serde_json::json!({
        "version": 1, "restart_policy": policy, "termination_grace_seconds": 30,
        "init_containers": lists.remove(&true).unwrap_or_default(),
        "containers": lists.remove(&false).unwrap_or_default(),
    });
    serde_json::from_value(json).unwrap()
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            desired: DesiredWorld::default(),
            observed: Observed::default(),
            now: Timestamp::from_millis(1_000_000_000),
            events: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Makes a pod desired, or changes it.
    pub(crate) fn want(&mut self, pod: &str, manifest: Manifest) {
        let entry = PodEntry {
            uid: uid(pod),
            namespace: "default".into(),
            name: pod.into(),
            manifest: Digest::of(&manifest.to_bytes()),
            fields: BTreeMap::new(),
            owner: None,
            progress_deadline_seconds: None,
            stop_within_seconds: None,
        };
        self.desired.generation = Generation(self.desired.generation.0 + 1);
        self.desired.pods.insert(
            uid(pod),
            Arc::new(DesiredPod { entry, manifest: Some(Arc::new(manifest)), instead: None }),
        );
        self.observed.admit(&self.desired, self.now);
    }

    pub(crate) fn change(&mut self, pod: &str, edit: impl Fn(&mut DesiredPod)) {
        let mut wanted = (*self.desired.pods[&uid(pod)]).clone();
        edit(&mut wanted);
        if let Some(manifest) = &wanted.manifest {
            wanted.entry.manifest = Digest::of(&manifest.to_bytes());
        }
        self.desired.pods.insert(uid(pod), Arc::new(wanted));
        self.observed.admit(&self.desired, self.now);
    }

    pub(crate) fn fact(&mut self, fact: Fact) {
        self.events.extend(self.observed.apply(fact, &self.desired, self.now));
    }

    pub(crate) fn pod_fact(&mut self, pod: &PodUid, fact: PodFact) {
        self.fact(Fact::Pod(pod.clone(), fact));
    }

    pub(crate) fn plan(&self) -> Vec<Action> {
        plan(&self.desired, &self.observed, self.now)
    }

    /// The present plan in short words.
    pub(crate) fn plan_text(&self) -> Vec<String> {
        self.plan().iter().map(short).collect()
    }

    fn wanted_volumes(&self, pod: &PodUid) -> (Digest, Option<Digest>) {
        let wanted = &self.desired.pods[pod];
        (wanted.entry.manifest, wanted.fields_digest())
    }

    pub(crate) fn carry_out(&mut self, action: &Action) {
        self.done.push(action.clone());
        let now = self.now;
        match action.clone() {
            Action::PullImage { image, .. } => {
                self.fact(Fact::PullBegan { image: image.clone() });
                let missing = image.path().starts_with("missing");
                let digest = Digest::of(image.to_string().as_bytes());
                let result = if missing { Err("manifest unknown".to_owned()) } else { Ok(digest) };
                self.fact(Fact::PullEnded { image, result, note: String::new() });
            }
            Action::PreparePod { pod } => {
                let (manifest, fields) = self.wanted_volumes(&pod);
                self.pod_fact(&pod, PodFact::Prepared { manifest, fields, ip: None });
            }
            Action::UpdateVolumes { pod } => {
                let (manifest, fields) = self.wanted_volumes(&pod);
                self.pod_fact(&pod, PodFact::VolumesUpdated { manifest, fields });
            }
            Action::StartContainer { pod, id, image } => self.start(&pod, id, image),
            Action::StopContainer { pod, id, deadline, why, .. } => {
                self.pod_fact(&pod, PodFact::StopSent { id: id.clone(), deadline, why });
                // A container named so does not heed the signal.
                if !id.name.starts_with("deaf") {
                    self.exit(&pod, &id, 143);
                }
            }
            Action::BeginStop { pod, id, hook, deadline, why } => {
                let hook = hook.is_some();
                self.pod_fact(&pod, PodFact::StopBegan { id: id.clone(), hook, deadline, why });
                if hook {
                    self.hook(&pod, id, HookKind::PreStop);
                }
            }
            Action::RunPostStart { pod, id, .. } => {
                self.pod_fact(&pod, PodFact::PostStartBegan { id: id.clone() });
                self.hook(&pod, id, HookKind::PostStart);
            }
            Action::ResizeContainer { pod, id, resources } => {
                // A limit of one byte is below what is in use.
                let fact = if resources.memory_limit == Some(ByteSize(1)) {
                    PodFact::NotResized { id, message: "in use".to_owned(), never: false }
                } else {
                    PodFact::Resized { id, resources }
                };
                self.pod_fact(&pod, fact);
            }
            Action::EndPod { pod, end } => self.pod_fact(&pod, PodFact::Ended(end)),
            Action::ClearPod { pod } => self.pod_fact(&pod, PodFact::Cleared),
            Action::KillContainer { pod, id } => {
                self.pod_fact(&pod, PodFact::KillSent { id: id.clone() });
                self.exit(&pod, &id, 137);
            }
            Action::RemoveContainer { pod, id } => self.pod_fact(&pod, PodFact::ContainerRemoved { id }),
            Action::RemovePod { pod } => self.pod_fact(&pod, PodFact::Removed),
        }
        assert_eq!(self.now, now);
    }

    /// A container named so has hooks that fail, or never end.
    fn hook(&mut self, pod: &PodUid, id: ContainerId, kind: HookKind) {
        if id.name.starts_with("hang") {
            return;
        }
        let result = if id.name.starts_with("badhook") { Err("bad".to_owned()) } else { Ok(()) };
        self.pod_fact(pod, PodFact::HookEnded { id, kind, result });
    }

    fn start(&mut self, pod: &PodUid, id: ContainerId, digest: Digest) {
        let container = self.desired.container(pod, &id.name).cloned().unwrap();
        let live = self.observed.pods[pod].live(&id.name);
        assert!(live.is_none(), "{id} of {pod} is started although there is {live:?}");
        assert!(self.observed.pods[pod].sandbox.is_some(), "{id} of {pod} is started without a sandbox");
        let step = match id.name.as_str() {
            name if name.starts_with("badconfig") => Some(StartStep::Config),
            name if name.starts_with("badrun") => Some(StartStep::Run),
            _ => None,
        };
        if let Some(step) = step {
            let failure = StartFailure { step, message: "bad".to_owned() };
            return self.pod_fact(pod, PodFact::NotStarted { id, failure });
        }
        let at = self.now;
        let init = self.desired.pods[pod]
            .manifest
            .as_ref()
            .unwrap()
            .init_containers
            .iter()
            .any(|c| c.name == id.name && !c.sidecar);
        let (image, resources) = (container.image, container.resources);
        self.pod_fact(
            pod,
            PodFact::Started { id: id.clone(), image, digest, stop_signal: 15, resources, at },
        );
        if init || id.name.starts_with("job") {
            self.exit(pod, &id, 0);
        }
    }

    pub(crate) fn exit(&mut self, pod: &PodUid, id: &ContainerId, code: i32) {
        let exit =
            Exit { code, signal: None, oom_killed: false, at: self.now, known: true, message: String::new() };
        self.pod_fact(pod, PodFact::Exited { id: id.clone(), exit });
    }

    /// Lets the running container of this name end.
    pub(crate) fn crash(&mut self, pod: &str, name: &str, code: i32) {
        let live = self.observed.pods[&uid(pod)].live(name).cloned().unwrap();
        let id = ContainerId { name: name.into(), attempt: live.attempt, definition: live.definition };
        self.exit(&uid(pod), &id, code);
    }

    /// Plans and acts until there is nothing to do now. Returns what was done.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        let from = self.done.len();
        for _ in 0..40 {
            let actions = self.plan();
            if actions.is_empty() {
                return self.done[from..].iter().map(short).collect();
            }
            actions.iter().for_each(|action| self.carry_out(action));
        }
        panic!("no end of plans: {:?}", self.plan_text());
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    pub(crate) fn wake(&self) -> Option<u64> {
        wake_at(&self.desired, &self.observed, self.now).map(|at| at.since(self.now).as_secs())
    }

    pub(crate) fn status(&self, pod: &str) -> PodStatus {
        observed_statuses(&self.desired, &self.observed, self.now)[&uid(pod)].clone()
    }

    /// The machine loses its power and starts again: what the records keep is all that is left.
    pub(crate) fn power_cut(&mut self) {
        let records = self.observed.pods.iter().map(|(uid, pod)| (uid.clone(), pod.record.clone()));
        let images = self.observed.images.local.clone();
        self.observed = Observed::from_records(records.collect::<Vec<_>>());
        self.fact(Fact::ImagesHere { local: images });
        self.observed.admit(&self.desired, self.now);
        self.fact(Fact::AdoptionEnded);
    }

    /// The agent is killed and started again: it adopts what runs.
    pub(crate) fn restart_agent(&mut self) {
        let before = std::mem::take(&mut self.observed);
        let records = before.pods.iter().map(|(uid, pod)| (uid.clone(), pod.record.clone()));
        self.observed = Observed::from_records(records.collect::<Vec<_>>());
        self.fact(Fact::ImagesHere { local: before.images.local });
        self.observed.admit(&self.desired, self.now);
        for (uid, pod) in &before.pods {
            let Some(sandbox) = &pod.sandbox else { continue };
            let run = |(name, c): (&String, &crate::ObservedContainer)| {
                let live = c.live.clone()?;
                let id =
                    ContainerId { name: name.clone(), attempt: live.attempt, definition: live.definition };
                Some(crate::AdoptedContainer { id, state: live.state })
            };
            let containers = pod.containers.iter().filter_map(run).collect();
            self.pod_fact(uid, PodFact::Adopted { ip: sandbox.ip, containers });
        }
        self.fact(Fact::AdoptionEnded);
    }

    pub(crate) fn running(&self) -> Vec<String> {
        let mut running = Vec::new();
        for (uid, pod) in &self.observed.pods {
            for (name, container) in &pod.containers {
                if let Some(live) =
                    container.live.as_ref().filter(|l| matches!(l.state, LiveState::Running { .. }))
                {
                    running.push(format!("{uid}/{name}.{}", live.attempt));
                }
            }
        }
        running
    }
}

pub(crate) fn short(action: &Action) -> String {
    match action {
        Action::PullImage { image, ask } => format!("pull {image}{}", if *ask { " ask" } else { "" }),
        Action::PreparePod { pod } => format!("prepare {pod}"),
        Action::UpdateVolumes { pod } => format!("update {pod}"),
        Action::StartContainer { pod, id, .. } => format!("start {pod}/{}.{}", id.name, id.attempt),
        Action::StopContainer { pod, id, signal, .. } => {
            format!("stop {pod}/{}.{} {signal}", id.name, id.attempt)
        }
        Action::BeginStop { pod, id, hook, .. } => {
            format!("{} {pod}/{}.{}", if hook.is_some() { "prestop" } else { "turn" }, id.name, id.attempt)
        }
        Action::RunPostStart { pod, id, .. } => format!("poststart {pod}/{}.{}", id.name, id.attempt),
        Action::ResizeContainer { pod, id, .. } => format!("resize {pod}/{}.{}", id.name, id.attempt),
        Action::EndPod { pod, end } => format!("end {pod} {}", end.reason),
        Action::ClearPod { pod } => format!("clear {pod}"),
        Action::KillContainer { pod, id } => format!("kill {pod}/{}.{}", id.name, id.attempt),
        Action::RemoveContainer { pod, id } => format!("remove {pod}/{}.{}", id.name, id.attempt),
        Action::RemovePod { pod } => format!("remove {pod}"),
    }
}
