use std::sync::Arc;

use gannet_protocols_model::{Manifest, PullPolicy, Timestamp};

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
    // A label that a volume shows, with the manifest as it was.
    node.change("p", |pod| drop(pod.entry.fields.insert("metadata.labels['app']".into(), "web".into())));
    assert_eq!(node.settle(), ["update p"]);
    node.change("p", |pod| pod.entry.fields.clear());
    assert_eq!(node.settle(), ["update p"]);
    assert_eq!(node.settle(), [""; 0]);
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
    // Another pod's pull of that image is none of its business.
    node.events.clear();
    node.want("s", manifest("Always", &["missing"]));
    node.want("t", manifest("Always", &["missing"]));
    edit(&mut node, "t", |m| m.containers[0].pull_policy = PullPolicy::Never);
    node.settle();
    let told =
        |pod: &str| node.events.iter().filter(|e| e.pod == Some(uid(pod)) && e.reason == "Failed").count();
    assert_eq!((told("s"), told("t")), (2, 0));
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
