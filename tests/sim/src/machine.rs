//! A node's machine: what truly runs, whoever knows of it. Containers outlive the agent, as under shims; a power cut ends
//! them all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use gannet_agent_core::{AdoptedContainer, ContainerId, Exit, LiveState, PodFact};
use gannet_protocols_model::{Digest, ImageReference, PodUid, Timestamp};

use crate::ledger::Records;

/// A run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// How far it is.
    pub state: LiveState,
    /// From which image.
    pub image: Digest,
}

/// A pod's sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its containers.
    pub runs: BTreeMap<ContainerId, Run>,
}

/// The machine.
#[derive(Debug, Default)]
pub struct Machine {
    /// Counts boots.
    pub boot: u64,
    /// What is there.
    pub pods: BTreeMap<PodUid, Sandbox>,
    /// The image store, on disk.
    pub images: BTreeMap<ImageReference, Digest>,
    /// The whole records, in memory; none since the power came.
    pub records: Option<Records>,
    addresses: u32,
}

impl Machine {
    /// Loses its power and comes back.
    pub fn power_cut(&mut self) {
        self.boot += 1;
        self.pods.clear();
        self.records = None;
    }

    /// Makes a pod's sandbox, where it is not there.
    pub fn prepare(&mut self, pod: &PodUid) -> Ipv4Addr {
        self.addresses += 1;
        let ip = Ipv4Addr::from(0x0a2a_0000 + self.addresses);
        self.pods.entry(pod.clone()).or_insert_with(|| Sandbox { ip, runs: BTreeMap::new() }).ip
    }

    /// Makes a container, and starts it unless the agent dies before.
    pub fn start(
        &mut self,
        pod: &PodUid,
        id: &ContainerId,
        image: Digest,
        begun: Option<Timestamp>,
    ) -> Result<(), String> {
        let sandbox = self.pods.get_mut(pod).ok_or("the pod has no sandbox")?;
        if sandbox.runs.contains_key(id) {
            return Err(format!("container {id} exists"));
        }
        let state = begun.map_or(LiveState::Created, |started_at| LiveState::Running { started_at });
        sandbox.runs.insert(id.clone(), Run { state, image });
        Ok(())
    }

    /// Whether a container runs.
    pub fn is_running(&self, pod: &PodUid, id: &ContainerId) -> bool {
        let run = self.pods.get(pod).and_then(|sandbox| sandbox.runs.get(id));
        run.is_some_and(|run| matches!(run.state, LiveState::Running { .. }))
    }

    /// A process ends.
    pub fn end(&mut self, pod: &PodUid, id: &ContainerId, code: i32, at: Timestamp) -> Option<Exit> {
        let run = self.pods.get_mut(pod)?.runs.get_mut(id)?;
        let LiveState::Running { started_at } = run.state else { return None };
        let signal = (code > 128).then_some(code - 128);
        let exit = Exit { code, signal, oom_killed: false, at, known: true, message: String::new() };
        run.state = LiveState::Exited { started_at: Some(started_at), exit: exit.clone() };
        Some(exit)
    }

    /// Removes a container that does not run.
    pub fn remove(&mut self, pod: &PodUid, id: &ContainerId) -> Result<(), String> {
        if self.is_running(pod, id) {
            return Err(format!("container {id} runs"));
        }
        if let Some(sandbox) = self.pods.get_mut(pod) {
            sandbox.runs.remove(id);
        }
        Ok(())
    }

    /// Every run that has a process.
    pub fn running(&self) -> impl Iterator<Item = (&PodUid, &ContainerId, &Run)> {
        let runs = self.pods.iter().flat_map(|(uid, s)| s.runs.iter().map(move |(id, run)| (uid, id, run)));
        runs.filter(|(_, _, run)| matches!(run.state, LiveState::Running { .. }))
    }

    /// What an agent that starts finds.
    pub fn adopted(&self) -> Vec<(PodUid, PodFact)> {
        let container =
            |(id, run): (&ContainerId, &Run)| AdoptedContainer { id: id.clone(), state: run.state.clone() };
        let fact = |sandbox: &Sandbox| PodFact::Adopted {
            ip: Some(sandbox.ip),
            containers: sandbox.runs.iter().map(container).collect(),
        };
        self.pods.iter().map(|(uid, sandbox)| (uid.clone(), fact(sandbox))).collect()
    }
}
