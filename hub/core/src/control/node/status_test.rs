use gannet_protocols_model::{
    ByteSize, ContainerState, CpuMillis, Digest, NodeName, PodStatus as Report, Resources, RolledBack,
    Terminated,
};
use serde_json::{Value, json};

use super::*;
use crate::Kind;
use crate::control::apply_report;
use crate::control::test_world::{START, TestWorld, running};

fn world(spec: Value) -> (TestWorld, Report) {
    let mut world = TestWorld::with_nodes(1);
    let mut pod =
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Pending"}});
    crate::control::test_world::merge(&mut pod["spec"], spec);
    world.put(Kind::POD, pod);
    let report = seen(&world);
    (world, report)
}

/// All containers run, by the manifest that the pod has now.
fn seen(world: &TestWorld) -> Report {
    let pod = world.pods("p")[0].clone();
    let manifest = crate::compile::manifest_of(&world.world, &pod).expect("the pod compiles");
    Report { manifest, ..running(&pod, true, START) }
}

fn apply(world: &mut TestWorld, report: &Report) -> Value {
    let node: NodeName = "n1".parse().unwrap();
    let change = apply_report(&world.world, &node, report, world.now);
    world.apply(change.into_iter().collect());
    world.object(Kind::POD, "p")["status"].clone()
}

fn condition(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().unwrap();
    let Some(found) = conditions.iter().find(|c| c["type"] == kind) else { return "none".to_owned() };
    let words = ["status", "reason", "message"].iter().filter_map(|field| found[*field].as_str());
    words.collect::<Vec<_>>().join(" ")
}

fn container() -> Value {
    json!({"name": "a", "image": "my-web-app:1", "resources": {
        "requests": {"cpu": "500m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi", "devices.gannet.dev/can": "1"}}})
}

fn init(name: &str, state: ContainerState, ready: bool) -> model::ContainerStatus {
    model::ContainerStatus {
        name: name.to_owned(),
        state,
        last: None,
        restart_count: 0,
        ready,
        started: ready,
        resources: None,
        image_id: None,
        container_id: None,
    }
}

fn ended(exit_code: i32, message: &str) -> Terminated {
    Terminated {
        exit_code,
        signal: None,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: message.to_owned(),
        started_at: Some(START),
        finished_at: START,
    }
}

#[test]
fn resources_follow_what_the_node_gives() {
    let (mut world, report) = world(json!({"containers": [container()]}));
    let status = apply(&mut world, &report);
    let before = status["containerStatuses"][0].clone();
    assert_eq!(before["resources"], container()["resources"]);
    assert_eq!(before["allocatedResources"], json!({"cpu": "500m", "memory": "64Mi"}));

    // The spec is another one, of which the node has not heard: nothing changes.
    let mut wanted = container();
    wanted["resources"]["requests"] = json!({"cpu": "600m", "memory": "64Mi"});
    world.patch(Kind::POD, "p", json!({"spec": {"containers": [wanted]}}));
    let mut late = report.clone();
    late.containers[0].restart_count = 1;
    let status = apply(&mut world, &late);
    assert_eq!(status["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(status["containerStatuses"][0]["resources"], before["resources"]);
    assert_eq!(status["containerStatuses"][0]["allocatedResources"], before["allocatedResources"]);

    let has = Resources {
        cpu_request: Some(CpuMillis(500)),
        cpu_limit: Some(CpuMillis(1000)),
        memory_request: Some(ByteSize(64 << 20)),
        memory_limit: Some(ByteSize(128 << 20)),
        ..Resources::default()
    };
    let old = json!({"cpu": "500m", "memory": "64Mi"});
    let new = json!({"cpu": "600m", "memory": "64Mi"});
    for (resize, word, pending, in_progress, allocated) in [
        (Resize::Deferred("no room".to_owned()), "Deferred", "True Deferred no room", "none", &old),
        (Resize::InProgress, "InProgress", "none", "True", &new),
        (Resize::Infeasible("too much".to_owned()), "Infeasible", "True Infeasible too much", "none", &old),
    ] {
        let mut report = seen(&world);
        report.containers[0].resources = Some(has);
        report.resize = Some(resize);
        let status = apply(&mut world, &report);
        assert_eq!(status["resize"], word);
        assert_eq!(condition(&status, "PodResizePending"), pending);
        assert_eq!(condition(&status, "PodResizeInProgress"), in_progress);
        assert_eq!(status["containerStatuses"][0]["resources"], before["resources"], "{word}");
        assert_eq!(&status["containerStatuses"][0]["allocatedResources"], allocated, "{word}");
    }
    let done = seen(&world);
    let status = apply(&mut world, &done);
    assert_eq!(status["resize"], Value::Null);
    assert_eq!(
        (condition(&status, "PodResizePending"), condition(&status, "PodResizeInProgress")),
        ("none".into(), "none".into())
    );
    assert_eq!(status["containerStatuses"][0]["resources"]["requests"]["cpu"], "600m");
    assert_eq!(status["containerStatuses"][0]["allocatedResources"], new);
}

#[test]
fn sidecars_count_for_readiness() {
    let (mut world, mut report) = world(json!({
        "containers": [{"name": "a", "image": "a:1"}],
        "initContainers": [{"name": "once", "image": "i:1"}, {"name": "beside", "image": "s:1", "restartPolicy": "Always"}],
    }));
    let once = init("once", ContainerState::Terminated(ended(0, "")), true);
    let running = || ContainerState::Running { started_at: START };
    report.init_containers = vec![once.clone(), init("beside", running(), false)];
    let status = apply(&mut world, &report);
    assert_eq!(
        condition(&status, "Ready"),
        "False ContainersNotReady containers with unready status: [beside]"
    );
    assert_eq!(condition(&status, "Initialized"), "True");
    report.init_containers = vec![once, init("beside", running(), true)];
    let status = apply(&mut world, &report);
    assert_eq!(
        (condition(&status, "Ready"), condition(&status, "ContainersReady")),
        ("True".into(), "True".into())
    );
    let names: Vec<_> =
        status["initContainerStatuses"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["once", "beside"]);
    assert_eq!(status["initContainerStatuses"][1]["started"], true);
}

#[test]
fn ended_pods_say_why() {
    for (reason, message, target) in [
        (
            "Evicted",
            "The node was low on resource: memory.",
            "True TerminationByKubelet The node was low on resource: memory.",
        ),
        ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline", "none"),
    ] {
        let (mut world, mut report) = world(json!({"containers": [container()]}));
        report.phase = PodPhase::Failed;
        report.reason = Some(reason.to_owned());
        report.message = Some(message.to_owned());
        report.containers[0].ready = false;
        let end = Terminated { signal: Some(9), ..ended(137, "the last words") };
        report.containers[0].state = ContainerState::Terminated(end);
        let status = apply(&mut world, &report);
        assert_eq!(
            (&status["phase"], &status["reason"], &status["message"]),
            (&json!("Failed"), &json!(reason), &json!(message))
        );
        assert_eq!(condition(&status, "Ready"), "False PodFailed");
        assert_eq!(condition(&status, "DisruptionTarget"), target);
        let end = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(
            (&end["exitCode"], &end["signal"], &end["message"]),
            (&json!(137), &json!(9), &json!("the last words"))
        );
    }
}

#[test]
fn a_device_that_went_back() {
    let (mut world, mut report) = world(json!({"containers": [container()]}));
    report.rolled_back = Some(RolledBack {
        failed: report.manifest,
        at: START,
        reason: "ProgressDeadlineExceeded".to_owned(),
        message: "not ready after 60s".to_owned(),
    });
    report.manifest = Digest::of(b"the one before");
    report.containers.push(init("older", ContainerState::Running { started_at: START }, true));
    world.wait(60);
    let status = apply(&mut world, &report);
    let words = format!(
        "the device gave up manifest {} at 2027-01-15T08:00:00Z and runs the one before: not ready after 60s",
        report.rolled_back.as_ref().unwrap().failed
    );
    assert_eq!(condition(&status, "gannet.dev/RolledBack"), format!("True ProgressDeadlineExceeded {words}"));
    let conditions = status["conditions"].as_array().unwrap();
    let rolled_back = conditions.iter().find(|c| c["type"] == "gannet.dev/RolledBack").unwrap();
    assert_eq!(rolled_back["lastTransitionTime"], "2027-01-15T08:00:00Z", "the device's time");
    assert_eq!(
        (&status["phase"], &status["reason"], &status["message"]),
        (&json!("Running"), &json!("RolledBack"), &json!(words))
    );
    assert_eq!(condition(&status, "Ready"), "True");
    let names: Vec<_> =
        status["containerStatuses"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["a", "older"], "what runs is shown, also where the spec does not have it");
    assert_eq!(status["containerStatuses"][0]["image"], Digest::of(b"image").to_string());
    let again = seen(&world);
    let status = apply(&mut world, &again);
    assert_eq!(condition(&status, "gannet.dev/RolledBack"), "none");
    assert_eq!((&status["reason"], &status["message"]), (&Value::Null, &Value::Null));
    assert_eq!(status["containerStatuses"][0]["image"], "my-web-app:1");
}

#[test]
fn a_pod_on_the_network_of_its_node_has_the_address_of_the_node() {
    let (mut world, mut report) = world(json!({"containers": [container()], "hostNetwork": true}));
    report.ip = None;
    let running = report.clone();
    report.phase = PodPhase::Pending;
    report.containers[0].state =
        ContainerState::Waiting { reason: "ContainerCreating".to_owned(), message: String::new() };
    let status = apply(&mut world, &report);
    assert_eq!(
        (&status["podIP"], condition(&status, "PodReadyToStartContainers")),
        (&Value::Null, "False".into())
    );
    let status = apply(&mut world, &running);
    assert!(status["hostIP"].is_string());
    assert_eq!(
        (&status["podIP"], &status["podIPs"]),
        (&status["hostIP"], &json!([{"ip": status["hostIP"]}]))
    );
    assert_eq!(condition(&status, "PodReadyToStartContainers"), "True");
}

#[test]
fn initialized_is_what_the_init_containers_are() {
    let waiting = || ContainerState::Waiting { reason: "PodInitializing".to_owned(), message: String::new() };
    let incomplete = "False ContainersNotInitialized containers with incomplete status: [i]";
    for (phase, code, main, expect) in [
        (PodPhase::Pending, None, None, incomplete),
        (PodPhase::Failed, Some(1), None, incomplete),
        (PodPhase::Running, Some(0), None, "True"),
        (PodPhase::Failed, Some(0), Some(1), "True"),
        (PodPhase::Succeeded, Some(0), Some(0), "True PodCompleted"),
    ] {
        let (mut world, mut report) = world(json!({"containers": [{"name": "a", "image": "a:1"}],
            "initContainers": [{"name": "i", "image": "i:1"}]}));
        let state =
            |code: Option<i32>| code.map_or_else(waiting, |c| ContainerState::Terminated(ended(c, "")));
        report.phase = phase;
        report.init_containers = vec![init("i", state(code), code == Some(0))];
        report.containers[0].state = state(main);
        report.containers[0].ready = false;
        let status = apply(&mut world, &report);
        assert_eq!(condition(&status, "Initialized"), expect, "{phase:?} {code:?} {main:?}");
    }
}

#[test]
fn runs_that_ended_keep_their_ids() {
    let (mut world, mut report) = world(json!({"containers": [{"name": "a", "image": "a:1"}]}));
    let mut run =
        |world: &mut TestWorld, count, id: Option<&str>, state: ContainerState, last: Option<Terminated>| {
            let seen = &mut report.containers[0];
            seen.restart_count = count;
            seen.container_id = id.map(str::to_owned);
            (seen.state, seen.last) = (state, last);
            let status = apply(world, &report);
            let of = &status["containerStatuses"][0];
            let text = |v: &Value| v.as_str().unwrap_or("-").trim_start_matches("youki://").to_owned();
            [
                text(&of["containerID"]),
                text(&of["state"]["terminated"]["containerID"]),
                text(&of["lastState"]["terminated"]["containerID"]),
            ]
        };
    let running = || ContainerState::Running { started_at: START };
    let waiting =
        || ContainerState::Waiting { reason: "CrashLoopBackOff".to_owned(), message: String::new() };
    let crash = || Some(ended(1, ""));
    assert_eq!(run(&mut world, 0, Some("0"), running(), None), ["0", "-", "-"]);
    assert_eq!(run(&mut world, 0, Some("0"), waiting(), crash()), ["0", "-", "0"]);
    assert_eq!(run(&mut world, 1, Some("1"), running(), crash()), ["1", "-", "0"]);
    assert_eq!(run(&mut world, 1, Some("1"), running(), crash()), ["1", "-", "0"], "told again");
    let end = ContainerState::Terminated(Terminated {
        finished_at: Timestamp::from_millis(START.millis() + 5000),
        ..ended(2, "")
    });
    assert_eq!(run(&mut world, 1, Some("1"), end.clone(), crash()), ["1", "1", "0"]);
    assert_eq!(run(&mut world, 1, None, end, crash()), ["1", "1", "0"], "the node has removed it");
}
