use std::sync::Arc;

use gannet_protocols_model::{Manifest, PullPolicy, Timestamp};
use proptest::prelude::*;

use crate::fake::{Node, manifest, uid};
use crate::{Fact, PodFact, ProbeKind};

fn node(policy: &str, containers: &[&str]) -> Node {
    let mut node = Node::new();
    node.want("p", manifest(policy, containers));
    node
}

fn edit(node: &mut Node, pod: &str, edit: impl Fn(&mut Manifest)) {
    node.change(pod, |p| edit(Arc::make_mut(p.manifest.as_mut().unwrap())));
}

#[test]
fn a_pod_from_nothing() {
    let mut node = node("Always", &["init:i1", "init:i2", "a", "b"]);
    assert_eq!(node.plan_text(), ["pull a:1", "pull b:1", "pull i1:1", "pull i2:1", "prepare p"]);
    assert_eq!(
        node.settle()[5..],
        ["start p/i1.0", "start p/i2.0", "start p/a.0", "start p/b.0"],
        "init containers first, one after the other"
    );
    assert_eq!(node.running(), ["p/a.0", "p/b.0"]);
    let reasons: Vec<&str> = node.events.iter().map(|e| e.reason.as_str()).collect();
    assert_eq!(reasons[..2], ["Pulling", "Pulled"]);
    assert_eq!(reasons.iter().filter(|r| **r == "Started").count(), 4);
}

#[test]
fn crashes_back_off_and_are_forgiven() {
    let mut node = node("Always", &["a"]);
    node.settle();
    node.crash("p", "a", 1);
    assert_eq!(node.settle(), ["remove p/a.0", "start p/a.1"], "the first time at once");
    for wait in [10, 20, 40, 80, 160, 300, 300] {
        node.crash("p", "a", 1);
        assert_eq!((node.plan_text(), node.wake()), (vec![], Some(wait)));
        node.pass(wait);
        assert_eq!(node.settle().len(), 2, "after {wait} seconds");
    }
    node.pass(601);
    node.crash("p", "a", 1);
    assert_eq!(node.settle().len(), 2, "at once after ten good minutes");
}

#[test]
fn restart_policies() {
    for (policy, code, again) in [
        ("Always", 0, true),
        ("Always", 1, true),
        ("OnFailure", 0, false),
        ("OnFailure", 1, true),
        ("Never", 0, false),
        ("Never", 1, false),
    ] {
        let mut node = node(policy, &["a"]);
        node.settle();
        node.crash("p", "a", code);
        assert_eq!(!node.settle().is_empty(), again, "{policy} {code}");
        node.power_cut();
        assert_eq!(!node.settle().is_empty(), again, "{policy} {code} after a power cut");
    }
}

#[test]
fn a_failing_init_container_holds_the_pod() {
    let mut node = node("OnFailure", &["init:badrun", "a"]);
    node.settle();
    assert_eq!(node.running(), Vec::<String>::new());
    assert!(node.wake().is_some());
    let mut node = self::node("Never", &["init:badrun", "a"]);
    node.settle();
    assert_eq!((node.running(), node.wake()), (vec![], None), "failed for good");
}

#[test]
fn stop_and_kill() {
    let mut node = node("Always", &["a", "deaf"]);
    node.settle();
    node.change("p", |p| p.entry.stop_within_seconds = Some(5));
    assert_eq!(node.settle(), ["stop p/a.0 15", "stop p/deaf.0 15"]);
    assert_eq!(node.wake(), Some(5));
    node.pass(5);
    assert_eq!(node.settle(), ["kill p/deaf.0", "remove p"]);
    assert!(node.observed.pods.is_empty());
    node.observed.admit(&node.desired, node.now);
    assert!(node.observed.pods.is_empty(), "a pod that is gone is not taken up again only to be stopped");
}

#[test]
fn a_shorter_grace_or_none() {
    let mut node = node("Always", &["deaf"]);
    node.settle();
    node.change("p", |p| p.entry.stop_within_seconds = Some(60));
    node.settle();
    node.pass(2);
    node.change("p", |p| p.entry.stop_within_seconds = Some(3));
    assert_eq!(node.wake(), Some(1));
    node.change("p", |p| p.entry.stop_within_seconds = Some(0));
    assert_eq!(node.settle(), ["kill p/deaf.0", "remove p"]);
}

#[test]
fn a_clock_that_moves_back_makes_no_wait_longer() {
    let mut node = node("Always", &["deaf", "a"]);
    node.settle();
    node.crash("p", "a", 1);
    node.settle();
    node.crash("p", "a", 1);
    assert_eq!(node.wake(), Some(10));
    node.now = Timestamp::from_millis(node.now.millis() - 100_000);
    assert_eq!(node.settle(), ["remove p/a.1", "start p/a.2"]);
    node.change("p", |p| p.entry.stop_within_seconds = Some(30));
    node.settle();
    node.now = Timestamp::from_millis(node.now.millis() - 100_000);
    assert_eq!(node.settle(), ["kill p/deaf.0", "remove p"]);
}

#[test]
fn a_pod_that_left_the_document_is_removed() {
    let mut node = node("Always", &["a"]);
    node.settle();
    node.desired.pods.clear();
    assert_eq!(node.settle(), ["stop p/a.0 15", "remove p"]);
}

#[test]
fn a_new_image_waits_for_its_pull_and_restarts_only_its_container() {
    let mut node = node("Always", &["a", "b"]);
    node.settle();
    edit(&mut node, "p", |m| m.containers[0].image = "missing:2".parse().unwrap());
    assert_eq!(node.settle(), ["pull missing:2", "update p"]);
    assert_eq!(node.running(), ["p/a.0", "p/b.0"], "the old one runs until the new image is here");
    edit(&mut node, "p", |m| m.containers[0].image = "new:2".parse().unwrap());
    assert_eq!(node.settle(), ["pull new:2", "update p", "stop p/a.0 15", "remove p/a.0", "start p/a.1"]);
    assert_eq!(node.running(), ["p/a.1", "p/b.0"]);
}

#[test]
fn other_changes_update_volumes_alone() {
    let mut node = node("Always", &["a"]);
    node.settle();
    edit(&mut node, "p", |m| m.fs_group = Some(5));
    assert_eq!(node.settle(), ["update p"]);
}

#[test]
fn pull_policies() {
    let mut node = node("Always", &["a"]);
    edit(&mut node, "p", |m| m.containers[0].pull_policy = PullPolicy::Always);
    assert_eq!(node.settle(), ["pull a:1 ask", "prepare p", "start p/a.0"]);
    node.crash("p", "a", 1);
    assert_eq!(node.settle(), ["remove p/a.0", "start p/a.1"], "a restart does not ask the registry");
    node.power_cut();
    assert_eq!(node.settle(), ["prepare p", "start p/a.2"], "nor does a start without a network");
    node.want("q", manifest("Always", &["a"]));
    edit(&mut node, "q", |m| m.containers[0].pull_policy = PullPolicy::Always);
    assert_eq!(node.settle()[0], "pull a:1 ask", "another pod does");
    node.want("r", manifest("Always", &["x"]));
    edit(&mut node, "r", |m| m.containers[0].pull_policy = PullPolicy::Never);
    assert_eq!(node.settle(), ["prepare r"]);
}

#[test]
fn a_failing_pull_is_tried_again_and_at_once_when_the_link_is_back() {
    let mut node = node("Always", &["missing"]);
    assert_eq!(node.settle(), ["pull missing:1", "prepare p"]);
    for wait in [10, 20, 40] {
        assert_eq!(node.wake(), Some(wait));
        node.pass(wait);
        assert_eq!(node.settle(), ["pull missing:1"]);
    }
    node.fact(Fact::LinkUp);
    assert_eq!(node.plan_text(), ["pull missing:1"]);
}

#[test]
fn a_pod_that_cannot_start_does_not_hold_another() {
    let mut node = node("Always", &["missing"]);
    node.want("q", manifest("Always", &["badconfig", "a"]));
    node.want("r", manifest("Always", &["b"]));
    node.settle();
    assert_eq!(node.running(), ["q/a.0", "r/b.0"]);
}

#[test]
fn nothing_is_planned_for_a_busy_pod() {
    let mut node = node("Always", &["a"]);
    node.want("q", manifest("Always", &["b"]));
    node.pod_fact(&uid("p"), PodFact::Busy);
    node.settle();
    assert_eq!(node.running(), ["q/b.0"]);
    node.pod_fact(&uid("p"), PodFact::Idle);
    node.settle();
    assert_eq!(node.running(), ["p/a.0", "q/b.0"]);
}

#[test]
fn a_failed_liveness_probe_restarts() {
    let mut node = node("Always", &["a"]);
    edit(&mut node, "p", |m| {
        let probe = r#"{"action":{"tcp":{"port":1,"host":null}},"initial_delay_seconds":0,"period_seconds":1,"timeout_seconds":1,"success_threshold":1,"failure_threshold":2}"#;
        m.containers[0].liveness = serde_json::from_str(probe).unwrap();
    });
    node.settle();
    for expect in [vec![], vec!["stop p/a.0 15", "remove p/a.0", "start p/a.1"]] {
        let fact = |result| PodFact::ProbeEnded {
            container: "a".into(),
            attempt: 0,
            kind: ProbeKind::Liveness,
            result,
        };
        node.pod_fact(&uid("p"), fact(Err("connection refused".into())));
        assert_eq!(node.settle(), expect);
    }
    assert!(node.events.iter().any(|e| e.reason == "Unhealthy"));
    let late = PodFact::ProbeEnded {
        container: "a".into(),
        attempt: 0,
        kind: ProbeKind::Liveness,
        result: Err(String::new()),
    };
    node.pod_fact(&uid("p"), late.clone());
    node.pod_fact(&uid("p"), late);
    assert_eq!(node.settle(), Vec::<String>::new(), "results of an earlier run mean nothing");
}

#[test]
fn a_power_cut_starts_all_again_at_once() {
    let mut node = node("Always", &["init:i", "a"]);
    node.want("q", manifest("OnFailure", &["job", "b"]));
    node.settle();
    node.crash("p", "a", 1);
    node.settle();
    node.power_cut();
    let mut done = node.settle();
    done.sort();
    assert_eq!(done, ["prepare p", "prepare q", "start p/a.2", "start p/i.1", "start q/b.1"]);
    assert_eq!(node.running(), ["p/a.2", "q/b.1"], "what had completed is not started again");
}

#[test]
fn a_lost_sandbox_is_made_again() {
    let mut node = node("Always", &["init:i", "a"]);
    node.settle();
    node.pod_fact(&uid("p"), PodFact::SandboxLost);
    assert_eq!(node.settle(), ["prepare p", "start p/i.1", "start p/a.1"]);
}

#[test]
fn without_its_manifest_a_pod_is_left_alone() {
    let mut node = node("Always", &["a"]);
    node.settle();
    let manifest = node.desired.pods[&uid("p")].manifest.clone();
    node.change("p", |p| p.manifest = None);
    assert_eq!(node.settle(), Vec::<String>::new());
    node.change("p", |p| p.manifest.clone_from(&manifest));
    assert_eq!((node.settle(), node.running()), (vec![], vec!["p/a.0".to_owned()]));
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
    Pass(u64),
    ClockBack(u64),
    Settle,
    /// Only the first actions of the plan are carried out.
    Partly(usize),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        3 => (0..4u8, 0..6u8).prop_map(|(p, shape)| Blow::Want(p, shape)),
        1 => (0..4u8).prop_map(Blow::Leave),
        1 => (0..4u8, 0..40u32).prop_map(|(p, s)| Blow::Stop(p, s)),
        3 => (0..4u8, prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(p, code)| Blow::Crash(p, code)),
        1 => Just(Blow::PowerCut),
        1 => (0..4u8).prop_map(Blow::SandboxLost),
        1 => (0..4u8).prop_map(Blow::NewImage),
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
            let shapes: [&[&str]; 6] = [
                &["a"],
                &["a", "deaf"],
                &["init:i", "a"],
                &["init:i", "job", "b"],
                &["missing", "b"],
                &["badconfig", "badrun", "c"],
            ];
            // A pod's restart policy never changes.
            let policy = ["Always", "OnFailure", "Never", "Always"][usize::from(p)];
            node.want(&name(p), manifest(policy, shapes[usize::from(shape)]));
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
        Blow::Stop(..) | Blow::NewImage(_) => {}
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
