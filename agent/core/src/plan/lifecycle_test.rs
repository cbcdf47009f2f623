use std::sync::Arc;

use gannet_protocols_model::{ByteSize, HookAction, Manifest, PodPhase, Probe, ProbeAction, Resize};

use crate::fake::{Node, manifest, uid};
use crate::{HookKind, PodEnd, PodFact, ProbeKind};

fn node(policy: &str, containers: &[&str], edit: impl Fn(&mut Manifest)) -> Node {
    let mut node = Node::new();
    let mut manifest = manifest(policy, containers);
    edit(&mut manifest);
    node.want("p", manifest);
    node
}

fn edit(node: &mut Node, edit: impl Fn(&mut Manifest)) {
    node.change("p", |p| edit(Arc::make_mut(p.manifest.as_mut().unwrap())));
}

fn probe(grace_seconds: Option<u32>) -> Option<Probe> {
    Some(Probe {
        action: ProbeAction::Tcp { port: 1, host: None },
        initial_delay_seconds: 0,
        period_seconds: 1,
        timeout_seconds: 1,
        success_threshold: 1,
        failure_threshold: 1,
        grace_seconds,
    })
}

fn probed(node: &mut Node, container: &str, kind: ProbeKind, well: bool) {
    let result = if well { Ok(()) } else { Err("no".to_owned()) };
    let attempt = node.observed.pods[&uid("p")].live(container).unwrap().attempt;
    node.pod_fact(&uid("p"), PodFact::ProbeEnded { container: container.into(), attempt, kind, result });
}

fn states(node: &Node) -> String {
    let status = node.status("p");
    let one = |c: &gannet_protocols_model::ContainerStatus| {
        let state = match &c.state {
            gannet_protocols_model::ContainerState::Waiting { reason, .. } => reason.clone(),
            gannet_protocols_model::ContainerState::Running { .. } => "running".into(),
            gannet_protocols_model::ContainerState::Terminated(t) => format!("{}:{}", t.reason, t.exit_code),
        };
        format!(" {}={state}{}", c.name, if c.ready { "+" } else { "" })
    };
    let all: String = status.init_containers.iter().chain(&status.containers).map(one).collect();
    format!("{:?}{all}", status.phase)
}

fn reasons(node: &Node, reason: &str) -> usize {
    node.events.iter().filter(|e| e.reason == reason).count()
}

#[test]
fn sidecars_start_in_their_turn_and_hold_back_what_comes_after_until_they_have_started() {
    let mut node = node("Always", &["init:i", "side:s", "init:j", "a"], |m| {
        m.init_containers[1].startup = probe(None);
    });
    assert_eq!(node.settle()[5..], ["start p/i.0", "start p/s.0"]);
    assert_eq!(states(&node), "Pending i=Completed:0+ s=running j=PodInitializing a=PodInitializing");
    probed(&mut node, "s", ProbeKind::Startup, true);
    assert_eq!(node.settle(), ["start p/j.0", "start p/a.0"]);
    assert_eq!(states(&node), "Running i=Completed:0+ s=running+ j=Completed:0+ a=running+");
    // It is started again, with back-off, and holds nothing up.
    node.crash("p", "s", 0);
    assert_eq!(node.settle(), ["remove p/s.0", "start p/s.1"]);
    assert_eq!(states(&node), "Running i=Completed:0+ s=running j=Completed:0+ a=running+");
    node.crash("p", "s", 1);
    assert_eq!((node.settle(), node.wake()), (vec![], Some(10)));
    assert_eq!(states(&node), "Running i=Completed:0+ s=CrashLoopBackOff j=Completed:0+ a=running+");
    node.crash("p", "a", 1);
    assert_eq!(node.settle(), ["remove p/a.0", "start p/a.1"]);
    node.pass(10);
    assert_eq!(node.settle(), ["remove p/s.1", "start p/s.2"]);
    // Its probes count.
    probed(&mut node, "s", ProbeKind::Startup, false);
    assert_eq!(node.settle()[0], "stop p/s.2 15");
}

#[test]
fn sidecars_end_after_the_containers_from_the_last_to_the_first() {
    let mut node = node("Always", &["side:s", "side:t", "deaf"], |_| ());
    node.settle();
    node.change("p", |p| p.entry.stop_within_seconds = Some(30));
    assert_eq!(node.settle(), ["stop p/deaf.0 15", "turn p/s.0", "turn p/t.0"]);
    assert_eq!(reasons(&node, "Killing"), 3);
    node.crash("p", "deaf", 0);
    assert_eq!(node.settle(), ["stop p/t.0 15", "stop p/s.0 15", "remove p"]);

    // Whoever takes all of the grace leaves the sidecars two seconds.
    let mut node = self::node("Always", &["side:deafs", "deaf"], |_| ());
    node.settle();
    node.change("p", |p| p.entry.stop_within_seconds = Some(30));
    node.settle();
    node.pass(30);
    assert_eq!(node.plan_text(), ["kill p/deaf.0", "stop p/deafs.0 15"]);
    node.settle();
    assert_eq!(node.wake(), Some(2));
    node.pass(2);
    assert_eq!(node.settle(), ["kill p/deafs.0", "remove p"]);
}

#[test]
fn a_pod_is_complete_when_its_containers_are_whatever_its_sidecars_do() {
    let mut node = node("Never", &["side:deafs", "job", "a"], |_| ());
    node.settle();
    node.crash("p", "a", 0);
    assert_eq!(node.settle(), ["stop p/deafs.0 15"]);
    assert_eq!(states(&node), "Running deafs=running+ job=Completed:0 a=Completed:0");
    node.pass(30);
    assert_eq!(node.settle(), ["kill p/deafs.0"]);
    assert_eq!(states(&node), "Succeeded deafs=Error:137 job=Completed:0 a=Completed:0");
    node.restart_agent();
    assert_eq!(node.settle(), [""; 0]);
    node.power_cut();
    assert_eq!(node.settle(), [""; 0], "not even after a power cut");
}

#[test]
fn hooks_before_the_signal_within_the_grace() {
    let mut node = node("Always", &["deaf", "hang"], |m| {
        m.containers.iter_mut().for_each(|c| c.pre_stop = Some(HookAction::Sleep(1)));
    });
    node.settle();
    node.change("p", |p| p.entry.stop_within_seconds = Some(30));
    assert_eq!(node.settle(), ["prestop p/deaf.0", "prestop p/hang.0", "stop p/deaf.0 15"]);
    node.pass(29);
    assert_eq!((node.plan_text(), node.wake()), (vec![], Some(1)));
    node.pass(1);
    assert_eq!(node.settle(), ["kill p/deaf.0", "stop p/hang.0 15", "remove p"], "its hook had its time");

    // One that ended by itself has no hook to run.
    let mut node = self::node("Always", &["badhook"], |m| {
        m.containers[0].pre_stop = Some(HookAction::Sleep(1));
        m.containers[0].liveness = probe(Some(7));
    });
    node.settle();
    node.crash("p", "badhook", 1);
    assert_eq!(node.settle(), ["remove p/badhook.0", "start p/badhook.1"]);
    probed(&mut node, "badhook", ProbeKind::Liveness, false);
    assert_eq!(node.settle()[..2], ["prestop p/badhook.1", "stop p/badhook.1 15"]);
    assert_eq!(reasons(&node, "FailedPreStopHook"), 1);
    assert_eq!(reasons(&node, "Killing"), 1);
}

#[test]
fn a_hook_is_not_cut_off_for_a_plan_that_is_a_little_older() {
    let mut node = node("Always", &["hang"], |m| m.containers[0].pre_stop = Some(HookAction::Sleep(1)));
    node.settle();
    node.change("p", |p| p.entry.stop_within_seconds = Some(30));
    node.settle();
    let began = node.now;
    node.now = gannet_protocols_model::Timestamp::from_millis(began.millis() - 3);
    assert_eq!(node.plan_text(), [""; 0]);
    // But one that moved back cannot tell how long the hook has had.
    node.now = gannet_protocols_model::Timestamp::from_millis(began.millis() - 5000);
    assert_eq!(node.plan_text(), ["stop p/hang.0 15"]);
}

#[test]
fn a_restart_of_the_agent_gives_no_more_grace() {
    let deaf = |hook: bool| {
        let mut node = node("Always", &["deaf"], |m| {
            m.containers[0].pre_stop = hook.then_some(HookAction::Sleep(1));
        });
        node.settle();
        node.change("p", |p| p.entry.stop_within_seconds = Some(30));
        node.settle();
        node.pass(20);
        node.restart_agent();
        node
    };
    let mut plain = deaf(false);
    assert_eq!(plain.settle(), ["stop p/deaf.0 15"]);
    assert_eq!(plain.wake(), Some(10));
    plain.pass(10);
    assert_eq!(plain.settle(), ["kill p/deaf.0", "remove p"]);

    let mut hooked = deaf(true);
    assert_eq!(hooked.settle(), ["prestop p/deaf.0", "stop p/deaf.0 15"]);
    assert_eq!(hooked.wake(), Some(10));

    // One that comes back late still lets it end by itself.
    let mut late = deaf(false);
    late.pass(60);
    late.restart_agent();
    assert_eq!(late.settle(), ["stop p/deaf.0 15"]);
    assert_eq!(late.wake(), Some(2));

    // A clock that moved back makes it a stop that begins now.
    let mut back = deaf(false);
    back.now = gannet_protocols_model::Timestamp::from_millis(1000);
    assert_eq!(back.settle(), ["stop p/deaf.0 15"]);
    assert_eq!(back.wake(), Some(30));
}

#[test]
fn a_probe_has_its_own_grace() {
    for (own, wait) in [(Some(7), 7), (Some(1), 2), (None, 30)] {
        let mut node = node("Always", &["deaf"], |m| m.containers[0].liveness = probe(own));
        node.settle();
        probed(&mut node, "deaf", ProbeKind::Liveness, false);
        assert_eq!((node.settle(), node.wake()), (vec!["stop p/deaf.0 15".to_owned()], Some(wait)));
        node.pass(wait);
        assert_eq!(node.settle()[0], "kill p/deaf.0");
    }
}

#[test]
fn a_container_is_not_ready_before_its_hook_is_done_and_ends_where_it_fails() {
    let hook = |m: &mut Manifest| {
        m.containers[0].post_start = Some(HookAction::Sleep(1));
        m.containers[0].readiness = probe(None);
    };
    let mut node = node("Always", &["hang"], hook);
    assert_eq!(node.settle()[2..], ["start p/hang.0", "poststart p/hang.0"]);
    assert!(crate::due_probes(&node.desired, &node.observed, node.now).0.is_empty(), "not probed yet");
    let live = node.observed.pods[&uid("p")].live("hang").unwrap().clone();
    let id = crate::ContainerId { name: "hang".into(), attempt: 0, definition: live.definition };
    // An agent that starts in the middle of the hook runs it again, and not once it was done.
    node.restart_agent();
    assert_eq!(node.settle(), ["poststart p/hang.0"]);
    node.pod_fact(&uid("p"), PodFact::HookEnded { id, kind: HookKind::PostStart, result: Ok(()) });
    assert_eq!(crate::due_probes(&node.desired, &node.observed, node.now).0.len(), 1);
    probed(&mut node, "hang", ProbeKind::Readiness, true);
    assert_eq!(states(&node), "Running hang=running+");
    node.restart_agent();
    assert_eq!((node.settle(), states(&node)), (vec![], "Running hang=running+".to_owned()));

    let mut node = self::node("Always", &["badhook"], hook);
    node.settle();
    assert_eq!(states(&node), "Running badhook=CrashLoopBackOff");
    assert_eq!(reasons(&node, "FailedPostStartHook"), 2);
    assert!(node.events.iter().any(|e| e.reason == "Killing" && e.message == "FailedPostStartHook"));
}

#[test]
fn a_deadline_ends_the_pod_for_good() {
    let mut node = node("Always", &["side:s", "a"], |m| m.active_deadline_seconds = Some(100));
    node.settle();
    assert_eq!(node.wake(), Some(100));
    node.pass(100);
    assert_eq!(node.settle(), ["end p DeadlineExceeded", "stop p/a.0 15", "turn p/s.0", "stop p/s.0 15"]);
    let status = node.status("p");
    let text = "Pod was active on the node longer than the specified deadline";
    assert_eq!((status.reason.as_deref(), status.message.as_deref()), (Some("DeadlineExceeded"), Some(text)));
    assert_eq!(states(&node), "Failed s=Error:143 a=Error:143");
    assert_eq!(reasons(&node, "DeadlineExceeded"), 1);
    node.restart_agent();
    assert_eq!(node.settle(), [""; 0]);
    node.power_cut();
    assert_eq!((node.settle(), node.status("p").phase), (vec![], PodPhase::Failed));
    node.desired.pods.clear();
    assert_eq!(node.settle(), ["remove p"]);
}

#[test]
fn an_evicted_pod_gives_back_what_it_has() {
    let mut node = node("Always", &["init:missing", "a"], |_| ());
    node.settle();
    let end = PodEnd {
        reason: "Evicted".into(),
        message: "The node was low on resource: memory.".into(),
        at: node.now,
        grace_seconds: Some(0),
    };
    node.pod_fact(&uid("p"), PodFact::Ended(end.clone()));
    assert_eq!(node.settle(), ["clear p"]);
    assert_eq!(node.status("p").phase, PodPhase::Failed);
    let mut node = self::node("Always", &["deaf"], |_| ());
    node.settle();
    node.pod_fact(&uid("p"), PodFact::Ended(end.clone()));
    assert_eq!(node.settle(), ["kill p/deaf.0", "clear p"]);
    node.pod_fact(&uid("p"), PodFact::Ended(PodEnd { reason: "DeadlineExceeded".into(), ..end }));
    assert_eq!(states(&node), "Failed deaf=Error:137");
    assert_eq!(node.status("p").reason.as_deref(), Some("Evicted"), "the first end counts");
}

#[test]
fn resizes() {
    let limit =
        |bytes: u64| move |m: &mut Manifest| m.containers[0].resources.memory_limit = Some(ByteSize(bytes));
    let mut node = node("Always", &["a"], limit(10));
    node.settle();
    edit(&mut node, limit(20));
    assert_eq!(node.status("p").resize, Some(Resize::InProgress));
    assert_eq!(node.status("p").containers[0].resources.unwrap().memory_limit, Some(ByteSize(10)));
    assert_eq!(node.settle(), ["update p", "resize p/a.0"]);
    assert_eq!((node.status("p").resize, node.status("p").containers[0].resources), (None, None));
    // The runtime says no: tried again later, and at once with another manifest.
    edit(&mut node, limit(1));
    node.settle();
    assert_eq!(node.status("p").resize, Some(Resize::Deferred("in use".into())));
    assert_eq!((node.wake(), reasons(&node, "ResizeDeferred")), (Some(10), 1));
    node.pass(10);
    assert_eq!(node.settle(), ["resize p/a.0"]);
    edit(&mut node, limit(30));
    assert_eq!(node.settle(), ["update p", "resize p/a.0"]);
    node.restart_agent();
    assert_eq!(node.settle(), [""; 0]);
    // A policy that wants a restart gets one, without back-off.
    edit(&mut node, |m| {
        limit(40)(m);
        m.containers[0].resize_restarts.memory = true;
    });
    assert_eq!(node.settle(), ["update p", "stop p/a.0 15", "remove p/a.0", "start p/a.1"]);
    // What is started anew has all at once.
    node.crash("p", "a", 1);
    assert_eq!(node.settle(), ["remove p/a.1", "start p/a.2"]);
}

#[test]
fn a_new_image_is_started_whatever_the_restart_policy_says() {
    let mut node = node("Never", &["a", "b"], |_| ());
    node.settle();
    node.crash("p", "b", 1);
    let new = |m: &mut Manifest| m.containers.iter_mut().for_each(|c| c.image = "new:2".parse().unwrap());
    edit(&mut node, new);
    let done = node.settle();
    assert_eq!(
        done,
        ["pull new:2", "update p", "stop p/a.0 15", "remove p/a.0", "start p/a.1"],
        "b ended by itself"
    );
}

#[test]
fn a_pod_that_nobody_knows_any_more_still_has_its_hooks() {
    let mut node =
        node("Always", &["side:s", "a"], |m| m.containers[0].pre_stop = Some(HookAction::Sleep(1)));
    node.settle();
    node.desired.pods.clear();
    assert_eq!(node.settle(), ["prestop p/a.0", "turn p/s.0", "stop p/a.0 15", "stop p/s.0 15", "remove p"]);
}
