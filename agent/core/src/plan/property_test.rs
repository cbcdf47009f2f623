use std::sync::Arc;

use gannet_protocols_model::{ByteSize, HookAction, Manifest, Timestamp};
use proptest::prelude::*;

use crate::fake::{Node, manifest, uid};
use crate::{PodEnd, PodFact};

fn edit(node: &mut Node, pod: &str, edit: impl Fn(&mut Manifest)) {
    node.change(pod, |p| edit(Arc::make_mut(p.manifest.as_mut().unwrap())));
}

/// One thing that befalls the node.
#[derive(Debug, Clone)]
enum Blow {
    Want(u8, u8),
    Leave(u8),
    Stop(u8, u32),
    Crash(u8, i32),
    PowerCut,
    SandboxLost(u8),
    NewImage(u8),
    Resize(u8, u64),
    Evict(u8, Option<u32>),
    AgentRestart,
    Pass(u64),
    ClockBack(u64),
    Settle,
    /// Only the first actions of the plan are carried out.
    Partly(usize),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        4 => (0..4u8, 0..11u8).prop_map(|(p, shape)| Blow::Want(p, shape)),
        1 => (0..4u8).prop_map(Blow::Leave),
        1 => (0..4u8, 0..40u32).prop_map(|(p, s)| Blow::Stop(p, s)),
        3 => (0..4u8, prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(p, code)| Blow::Crash(p, code)),
        1 => Just(Blow::PowerCut),
        1 => (0..4u8).prop_map(Blow::SandboxLost),
        1 => (0..4u8).prop_map(Blow::NewImage),
        1 => (0..4u8, prop_oneof![Just(1), Just(5), Just(7)]).prop_map(|(p, to)| Blow::Resize(p, to)),
        1 => (0..4u8, proptest::option::of(0..3u32)).prop_map(|(p, grace)| Blow::Evict(p, grace)),
        1 => Just(Blow::AgentRestart),
        2 => (0..700u64).prop_map(Blow::Pass),
        1 => (0..900u64).prop_map(Blow::ClockBack),
        2 => Just(Blow::Settle),
        2 => (0..6usize).prop_map(Blow::Partly),
    ]
}

fn strike(node: &mut Node, blow: &Blow) {
    let name = |p: u8| format!("p{p}");
    let has = |node: &Node, p: u8| node.desired.pods.contains_key(&uid(&name(p)));
    match *blow {
        Blow::Want(p, shape) => {
            let gone =
                node.desired.pods.get(&uid(&name(p))).is_some_and(|d| d.entry.stop_within_seconds.is_some());
            if gone {
                return;
            }
            let shapes: [&[&str]; 11] = [
                &["a"],
                &["a", "deaf"],
                &["init:i", "a"],
                &["init:i", "job", "b"],
                &["missing", "b"],
                &["badconfig", "badrun", "c"],
                &["side:s", "a"],
                &["init:i", "side:deafs", "side:t", "job", "a"],
                &["side:s", "job"],
                &["hang", "badhook", "deaf"],
                &["side:hangs", "init:i", "b"],
            ];
            // A pod's restart policy never changes.
            let policy = ["Always", "OnFailure", "Never", "Always"][usize::from(p)];
            let mut manifest = manifest(policy, shapes[usize::from(shape)]);
            let stops = manifest.init_containers.iter_mut().chain(&mut manifest.containers);
            stops.filter(|_| shape % 2 == 0).for_each(|c| c.pre_stop = Some(HookAction::Sleep(1)));
            for container in manifest.containers.iter_mut().filter(|_| shape > 6) {
                container.post_start = Some(HookAction::Sleep(1));
                container.resize_restarts.memory = shape == 7;
            }
            manifest.active_deadline_seconds = (shape == 5 && p == 3).then_some(200);
            node.want(&name(p), manifest);
        }
        Blow::Leave(p) => drop(node.desired.pods.remove(&uid(&name(p)))),
        Blow::Stop(p, seconds) if has(node, p) => {
            node.change(&name(p), |d| d.entry.stop_within_seconds = Some(seconds))
        }
        Blow::Crash(p, code) => {
            let running: Vec<String> = node.running();
            if let Some(at) = running.iter().find(|r| r.starts_with(&name(p))) {
                let container = at.split('/').nth(1).and_then(|c| c.split('.').next()).unwrap().to_owned();
                node.crash(&name(p), &container, code);
            }
        }
        Blow::PowerCut => node.power_cut(),
        Blow::SandboxLost(p) => node.pod_fact(&uid(&name(p)), PodFact::SandboxLost),
        Blow::NewImage(p) if has(node, p) => {
            edit(node, &name(p), |m| m.containers[0].image = "other:2".parse().unwrap())
        }
        Blow::Resize(p, to) if has(node, p) => {
            edit(node, &name(p), |m| m.containers[0].resources.memory_limit = Some(ByteSize(to)))
        }
        Blow::Evict(p, grace_seconds) => {
            let (reason, message) =
                ("Evicted".to_owned(), "The node was low on resource: memory.".to_owned());
            let end = PodEnd { reason, message, at: node.now, grace_seconds };
            node.pod_fact(&uid(&name(p)), PodFact::Ended(end));
        }
        Blow::AgentRestart => node.restart_agent(),
        Blow::Stop(..) | Blow::NewImage(_) | Blow::Resize(..) => {}
        Blow::Pass(seconds) => node.pass(seconds),
        Blow::ClockBack(seconds) => {
            node.now = Timestamp::from_millis(node.now.millis().saturating_sub(seconds * 1000));
        }
        Blow::Settle => drop(node.settle()),
        Blow::Partly(count) => node.plan().iter().take(count).for_each(|action| node.carry_out(action)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happened, the node settles, and then runs exactly what it should.
    #[test]
    fn a_plan_carried_out_leaves_nothing_to_plan(blows in proptest::collection::vec(blow(), 0..25)) {
        let mut node = Node::new();
        for blow in &blows {
            strike(&mut node, blow);
            // Never panics, whatever the state.
            let _ = crate::observed_statuses(&node.desired, &node.observed, node.now);
        }
        node.settle();
        prop_assert_eq!(node.plan_text(), Vec::<String>::new());
        // Every wait is bounded: after the longest of them all that can run does, and nothing waits in vain.
        for _ in 0..4 {
            if let Some(wait) = node.wake() {
                prop_assert!(wait <= 300, "waits {} seconds", wait);
            }
            node.pass(301);
            node.settle();
        }
        for (uid, wanted) in &node.desired.pods {
            let status = node.observed.pods.get(uid);
            if wanted.entry.stop_within_seconds.is_some() {
                prop_assert!(status.is_none(), "{} should be gone", uid);
                continue;
            }
            let manifest = wanted.manifest.as_ref().unwrap();
            let prefix = format!("{uid}/");
            if let Some(end) = &status.unwrap().record.ended {
                prop_assert!(!node.running().iter().any(|r| r.starts_with(&prefix)), "{} has ended", uid);
                prop_assert!(!end.is_eviction() || status.unwrap().sandbox.is_none(), "{} gave back nothing", uid);
                continue;
            }
            if status.unwrap().is_finished(manifest) {
                prop_assert!(!node.running().iter().any(|r| r.starts_with(&prefix)), "{} is finished", uid);
            }
            let sidecars = manifest.init_containers.iter().filter(|c| c.sidecar);
            for container in sidecars.filter(|_| !status.unwrap().is_finished(manifest)) {
                let prefix = format!("{uid}/{}.", container.name);
                prop_assert!(node.running().iter().any(|r| r.starts_with(&prefix)), "{} should run", prefix);
            }
            for container in &manifest.containers {
                let startable = !["missing", "bad", "job"].iter().any(|bad| container.name.starts_with(bad));
                let over = status.unwrap().history(&container.name).is_some_and(|h| h.over);
                if startable && !over && status.unwrap().sandbox.is_some() {
                    let prefix = format!("{uid}/{}.", container.name);
                    prop_assert!(node.running().iter().any(|r| r.starts_with(&prefix)), "{} should run", prefix);
                }
            }
        }
        prop_assert!(node.observed.pods.keys().all(|uid| node.desired.pods.contains_key(uid)), "nothing else is left");
    }
}
