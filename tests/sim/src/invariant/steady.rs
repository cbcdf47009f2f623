//! What should run keeps running: an agent ends a container only where its document says so, whatever became of the hub,
//! the network and the agent itself. Nothing that has a process is removed.

use std::collections::BTreeSet;

use gannet_agent_core::{Action, ContainerId, Definition, DesiredWorld, Observed};
use gannet_protocols_model::PodUid;

use crate::machine::Machine;

/// Looks at a plan.
pub fn may_do(
    plan: &[Action],
    desired: &DesiredWorld,
    observed: &Observed,
    machine: &Machine,
) -> Result<(), String> {
    for action in plan {
        let fine = match action {
            Action::StopContainer { pod, id, .. } => may_end(pod, id, desired),
            Action::KillContainer { pod, id } => {
                let live = observed.pods.get(pod).and_then(|p| p.live(&id.name));
                live.is_some_and(|l| l.stopping.is_some()) || may_end(pod, id, desired)
            }
            Action::RemoveContainer { pod, id } => !machine.is_running(pod, id),
            Action::ClearPod { pod } => {
                let ended = observed.pods.get(pod).is_some_and(|p| p.record.ended.is_some());
                ended && !machine.running().any(|(uid, ..)| uid == pod)
            }
            Action::RemovePod { pod } => {
                may_go(pod, desired) && !machine.running().any(|(uid, ..)| uid == pod)
            }
            _ => true,
        };
        if !fine {
            return Err(format!("generation {} does not ask for {action:?}", desired.generation));
        }
    }
    Ok(())
}

fn may_go(pod: &PodUid, desired: &DesiredWorld) -> bool {
    desired.pods.get(pod).is_none_or(|wanted| wanted.entry.stop_within_seconds.is_some())
}

/// No probe is ever run here, so only the document is a reason.
fn may_end(pod: &PodUid, id: &ContainerId, desired: &DesiredWorld) -> bool {
    may_go(pod, desired)
        || desired.container(pod, &id.name).is_none_or(|container| Definition::of(container) != id.definition)
}

/// Everything that runs on all nodes, to be compared with later.
pub fn running<'a>(machines: impl Iterator<Item = &'a Machine>) -> BTreeSet<(PodUid, ContainerId)> {
    machines.flat_map(|m| m.running().map(|(pod, id, _)| (pod.clone(), id.clone()))).collect()
}

/// Nobody changed what should run: so exactly the same runs, not even started anew.
pub fn same(
    before: &BTreeSet<(PodUid, ContainerId)>,
    after: &BTreeSet<(PodUid, ContainerId)>,
) -> Result<(), String> {
    if before == after { Ok(()) } else { Err(format!("{before:?} ran, and now {after:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gannet_agent_core::DesiredPod;
    use gannet_protocols_model::{Digest, Generation, Manifest, PodEntry, Timestamp};
    use std::sync::Arc;

    fn world(image: &str, stop: Option<u32>) -> DesiredWorld {
        let text = format!(
            r#"{{"version":1,"restart_policy":"Always","termination_grace_seconds":30,"containers":[{{"name":"c","image":"{image}","pull_policy":"IfNotPresent"}}]}}"#
        );
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let entry = PodEntry {
            uid: "a".parse().unwrap(),
            namespace: "default".into(),
            name: "a".into(),
            manifest: Digest::of(text.as_bytes()),
            fields: Default::default(),
            owner: None,
            progress_deadline_seconds: None,
            stop_within_seconds: stop,
        };
        let pod = DesiredPod { entry: entry.clone(), manifest: Some(Arc::new(manifest)), instead: None };
        DesiredWorld { generation: Generation(1), pods: [(entry.uid, Arc::new(pod))].into(), network: None }
    }

    #[test]
    fn only_the_document_ends_what_runs() {
        let pod: PodUid = "a".parse().unwrap();
        let now = world("i:1", None);
        let definition = Definition::of(now.container(&pod, "c").unwrap());
        let id = ContainerId { name: "c".into(), attempt: 0, definition };
        let mut machine = Machine::default();
        machine.prepare(&pod);
        machine.start(&pod, &id, Digest::of(b"i"), Some(Timestamp::default())).unwrap();
        let stop = Action::StopContainer {
            pod: pod.clone(),
            id: id.clone(),
            signal: 15,
            deadline: Timestamp::default(),
            why: String::new(),
        };
        let kill = Action::KillContainer { pod: pod.clone(), id };
        let check = |action: &Action, world: &DesiredWorld, fine: bool| {
            let result = may_do(std::slice::from_ref(action), world, &Observed::default(), &machine);
            assert_eq!(result.is_ok(), fine, "{result:?}");
        };
        for action in [&stop, &kill] {
            check(action, &now, false);
            check(action, &world("i:2", None), true);
            check(action, &world("i:1", Some(5)), true);
            check(action, &DesiredWorld::default(), true);
        }
        check(&Action::RemovePod { pod }, &DesiredWorld::default(), false);
        assert!(same(&running([&machine].into_iter()), &BTreeSet::new()).is_err());
    }
}
