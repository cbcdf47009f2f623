use gannet_protocols_model::{ContainerState, ContainerStatus};

use crate::fake::{Node, manifest, uid};
use crate::{Exit, Fact, PodFact, PodStep};

/// `PHASE name=STATE(restarts)[ready]…`, as `kubectl get pods` would be made of it.
fn check(node: &Node, expect: &str) {
    let status = node.status("p");
    let one = |c: &ContainerStatus| {
        let state = match &c.state {
            ContainerState::Waiting { reason, .. } => reason.clone(),
            ContainerState::Running { .. } => "running".to_owned(),
            ContainerState::Terminated(t) => format!("{}:{}", t.reason, t.exit_code),
        };
        let last = c.last.as_ref().map(|l| format!("<{}", l.reason)).unwrap_or_default();
        format!(" {}={state}{last}({}){}", c.name, c.restart_count, if c.ready { "+" } else { "" })
    };
    let containers: String = status.init_containers.iter().chain(&status.containers).map(one).collect();
    assert_eq!(format!("{:?}{containers}", status.phase), expect);
}

fn message(node: &Node) -> String {
    match &node.status("p").containers[0].state {
        ContainerState::Waiting { message, .. } => message.clone(),
        other => panic!("{other:?}"),
    }
}

fn node(policy: &str, containers: &[&str]) -> Node {
    let mut node = Node::new();
    node.want("p", manifest(policy, containers));
    node
}

#[test]
fn from_nothing_to_running() {
    let mut node = node("Always", &["init:i", "a"]);
    check(&node, "Pending i=PodInitializing(0) a=PodInitializing(0)");
    node.settle();
    check(&node, "Running i=Completed:0(0)+ a=running(0)+");
}

#[test]
fn crash_loops() {
    let mut node = node("Always", &["a"]);
    node.settle();
    node.crash("p", "a", 1);
    check(&node, "Running a=Error:1(0)");
    node.settle();
    check(&node, "Running a=running<Error(1)+");
    node.crash("p", "a", 2);
    check(&node, "Running a=CrashLoopBackOff<Error(1)");
    assert_eq!(message(&node), "back-off 10s restarting failed container=a pod=p_default(p)");
    for _ in 0..4 {
        node.pass(300);
        node.settle();
        node.crash("p", "a", 0);
    }
    check(&node, "Running a=CrashLoopBackOff<Completed(5)");
    assert_eq!(message(&node), "back-off 2m40s restarting failed container=a pod=p_default(p)");
}

#[test]
fn ends() {
    for (policy, codes, expect) in [
        ("Never", [0, 0], "Succeeded a=Completed:0(0) b=Completed:0(0)"),
        ("Never", [0, 3], "Failed a=Completed:0(0) b=Error:3(0)"),
        ("OnFailure", [0, 0], "Succeeded a=Completed:0(0) b=Completed:0(0)"),
        ("OnFailure", [0, 3], "Running a=Completed:0(0) b=Error:3(0)"),
    ] {
        let mut node = node(policy, &["a", "b"]);
        node.settle();
        node.crash("p", "a", codes[0]);
        node.crash("p", "b", codes[1]);
        check(&node, expect);
    }
    let mut node = node("Never", &["a", "b"]);
    node.settle();
    node.crash("p", "a", 1);
    check(&node, "Running a=Error:1(0) b=running(0)+");
}

#[test]
fn reasons_of_ends() {
    let mut node = node("Never", &["a"]);
    node.settle();
    let live = node.observed.pods[&uid("p")].live("a").cloned().unwrap();
    let id = crate::ContainerId { name: "a".into(), attempt: 0, definition: live.definition };
    let exit = Exit {
        code: 137,
        signal: Some(9),
        oom_killed: true,
        at: node.now,
        known: true,
        message: String::new(),
    };
    node.pod_fact(&uid("p"), PodFact::Exited { id, exit });
    check(&node, "Failed a=OOMKilled:137(0)");

    let mut node = self::node("Never", &["badrun"]);
    node.settle();
    check(&node, "Failed badrun=StartError:128(0)");
    let mut node = self::node("Always", &["badrun"]);
    node.settle();
    check(&node, "Running badrun=CrashLoopBackOff<StartError(1)");
    let mut node = self::node("Never", &["a"]);
    node.settle();
    node.power_cut();
    check(&node, "Failed a=ContainerStatusUnknown:137(0)");
}

#[test]
fn what_holds_a_container_up() {
    let mut node = node("Always", &["missing"]);
    node.settle();
    check(&node, "Pending missing=ErrImagePull(0)");
    assert_eq!(message(&node), "manifest unknown");
    node.pass(10);
    node.settle();
    check(&node, "Pending missing=ImagePullBackOff(0)");
    assert_eq!(message(&node), "Back-off pulling image \"missing:1\": ErrImagePull: manifest unknown");

    let mut node = self::node("Always", &["badconfig", "b"]);
    node.settle();
    check(&node, "Pending badconfig=CreateContainerConfigError(0) b=running(0)+");

    let mut node = self::node("Always", &["a"]);
    let failed = PodFact::Failed { step: PodStep::Sandbox, message: "no address left".into() };
    node.pod_fact(&uid("p"), failed);
    check(&node, "Pending a=ContainerCreating(0)");
    assert_eq!(node.status("p").message.as_deref(), Some("no address left"));
    assert_eq!(node.events.last().map(|e| e.reason.as_str()), Some("FailedCreatePodSandBox"));
    // Its back-off does not keep it from being removed; that of a removal that failed does.
    node.change("p", |p| p.entry.stop_within_seconds = Some(30));
    assert_eq!(node.plan_text(), ["remove p"]);
    node.pod_fact(&uid("p"), PodFact::Failed { step: PodStep::Removal, message: "busy".into() });
    assert_eq!((node.plan_text().len(), node.wake()), (0, Some(10)));
}

#[test]
fn readiness_waits_for_its_probe_and_survives_the_agent() {
    let mut node = node("Always", &["a"]);
    node.change("p", |p| {
        let probe = r#"{"action":{"exec":["true"]},"initial_delay_seconds":0,"period_seconds":1,"timeout_seconds":1,"success_threshold":1,"failure_threshold":1}"#;
        let manifest = std::sync::Arc::make_mut(p.manifest.as_mut().unwrap());
        manifest.containers[0].readiness = serde_json::from_str(probe).unwrap();
    });
    node.settle();
    check(&node, "Running a=running(0)");
    let kind = crate::ProbeKind::Readiness;
    node.pod_fact(&uid("p"), PodFact::ProbeEnded { container: "a".into(), attempt: 0, kind, result: Ok(()) });
    check(&node, "Running a=running(0)+");

    // The agent is killed and started again: it adopts what runs.
    let pod = node.observed.pods[&uid("p")].clone();
    let live = pod.live("a").cloned().unwrap();
    node.observed = crate::Observed::from_records([(uid("p"), pod.record)]);
    node.observed.admit(&node.desired, node.now);
    let id = crate::ContainerId { name: "a".into(), attempt: 0, definition: live.definition };
    let containers = vec![crate::AdoptedContainer { id, state: live.state }];
    node.pod_fact(&uid("p"), PodFact::Adopted { ip: None, containers });
    node.fact(Fact::AdoptionEnded);
    check(&node, "Running a=running(0)+");
    assert_eq!(node.settle(), Vec::<String>::new(), "and does nothing else");
}

#[test]
fn a_pod_without_its_manifest_keeps_its_state() {
    let mut node = node("Always", &["a"]);
    node.settle();
    node.change("p", |p| p.manifest = None);
    check(&node, "Running a=running(0)+");
    assert_eq!(node.status("p").reason.as_deref(), Some("ManifestMissing"));
}
