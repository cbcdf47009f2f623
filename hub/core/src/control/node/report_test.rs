use gannet_protocols_model::{ContainerState, PodPhase, Terminated};
use serde_json::{Value, json};

use super::*;
use crate::control::test_world::{START, TestWorld, running};

fn bound() -> (TestWorld, Arc<Pod>, PodStatus) {
    let mut world = TestWorld::with_nodes(1);
    world.put(Kind::POD, json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "my-web-app:latest"}, {"name": "b", "image": "127.0.0.1:5000/b@sha256:0"}],
                 "initContainers": [{"name": "i", "image": "i"}]},
        "status": {"phase": "Pending", "qosClass": "BestEffort", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2027-01-15T07:00:00Z"}]},
    }));
    let pod = world.pods("p")[0].clone();
    let mut report = running(&pod, true, START);
    let mut init = report.containers[0].clone();
    init.name = "i".to_owned();
    init.state = ContainerState::Terminated(ended(0, "Completed"));
    report.init_containers.push(init);
    (world, pod, report)
}

fn ended(exit_code: i32, reason: &str) -> Terminated {
    Terminated {
        exit_code,
        signal: None,
        reason: reason.to_owned(),
        message: String::new(),
        started_at: Some(START),
        finished_at: START,
    }
}

fn node() -> NodeName {
    "n1".parse().unwrap()
}

fn report(world: &mut TestWorld, report: &PodStatus) -> bool {
    let change = apply_report(&world.world, &node(), report, world.now);
    let changed = change.is_some();
    world.apply(change.into_iter().collect());
    changed
}

fn conditions(world: &TestWorld) -> Vec<String> {
    let conditions = world.object(Kind::POD, "p")["status"]["conditions"].clone();
    let mut lines: Vec<_> = conditions
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            let text = |field: &str| c[field].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", text("type"), text("status"), text("reason"), text("message"))
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_running_pod() {
    let (mut world, pod, seen) = bound();
    assert!(report(&mut world, &seen));
    let status = world.object(Kind::POD, "p")["status"].clone();
    assert_eq!(
        (status["phase"].as_str(), status["qosClass"].as_str()),
        (Some("Running"), Some("BestEffort"))
    );
    assert_eq!(status["hostIP"], world.object(Kind::NODE, "n1")["status"]["addresses"][0]["address"]);
    assert_eq!(status["podIPs"], json!([{"ip": status["podIP"]}]));
    assert_eq!(status["startTime"], "2027-01-15T08:00:00Z");
    let digest = gannet_protocols_model::Digest::of(b"image");
    assert_eq!(
        status["containerStatuses"][0],
        json!({"name": "a", "image": "my-web-app:latest", "imageID": format!("my-web-app@{digest}"), "containerID": "youki://c0ffee",
               "ready": true, "started": true, "restartCount": 0, "lastState": {},
               "state": {"running": {"startedAt": "2027-01-15T08:00:00Z"}}})
    );
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(
        conditions(&world),
        [
            "ContainersReady True - -",
            "Initialized True - -",
            "PodReadyToStartContainers True - -",
            "PodScheduled True - -",
            "Ready True - -"
        ]
    );
    let scheduled =
        status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "PodScheduled").unwrap();
    assert_eq!(scheduled["lastTransitionTime"], "2027-01-15T07:00:00Z");
    world.wait(60);
    assert!(!report(&mut world, &seen), "the same again changes nothing");

    let mut unready = seen.clone();
    unready.containers[1].ready = false;
    assert!(report(&mut world, &unready));
    assert_eq!(
        conditions(&world)[0],
        "ContainersReady False ContainersNotReady containers with unready status: [b]"
    );
    assert_eq!(conditions(&world)[4], "Ready False ContainersNotReady containers with unready status: [b]");
    let status = world.object(Kind::POD, "p")["status"].clone();
    let ready = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!(ready["lastTransitionTime"], "2027-01-15T08:01:00Z");
    assert!(!meta::is_terminating(&pod.metadata));
}

#[test]
fn states_of_containers() {
    let (mut world, _, mut seen) = bound();
    seen.phase = PodPhase::Pending;
    seen.init_containers[0].state =
        ContainerState::Waiting { reason: "PodInitializing".to_owned(), message: String::new() };
    seen.containers[0].state =
        ContainerState::Waiting { reason: "CrashLoopBackOff".to_owned(), message: "back-off 10s".to_owned() };
    seen.containers[0].last = Some(Terminated { signal: Some(9), ..ended(137, "OOMKilled") });
    seen.containers[0].restart_count = 4;
    seen.containers[0].image_id = None;
    seen.containers[0].container_id = None;
    report(&mut world, &seen);
    let container = world.object(Kind::POD, "p")["status"]["containerStatuses"][0].clone();
    assert_eq!(
        container["state"],
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}})
    );
    assert_eq!(
        container["lastState"],
        json!({"terminated": {"exitCode": 137, "signal": 9, "reason": "OOMKilled", "startedAt": "2027-01-15T08:00:00Z", "finishedAt": "2027-01-15T08:00:00Z"}})
    );
    assert_eq!(
        (container["restartCount"].clone(), container["imageID"].clone(), container["containerID"].clone()),
        (json!(4), json!(""), Value::Null)
    );
    assert_eq!(
        conditions(&world)[1],
        "Initialized False ContainersNotInitialized containers with incomplete status: [i]"
    );
}

#[test]
fn ended_for_good() {
    let (mut world, _, mut seen) = bound();
    seen.phase = PodPhase::Succeeded;
    for container in &mut seen.containers {
        container.ready = false;
        container.state = ContainerState::Terminated(ended(0, "Completed"));
    }
    report(&mut world, &seen);
    assert_eq!(world.object(Kind::POD, "p")["status"]["phase"], "Succeeded");
    assert_eq!(conditions(&world)[4], "Ready False PodCompleted -");
    let (_, pod, _) = bound();
    let mut again = running(&pod, true, START);
    again.uid = seen.uid.clone();
    assert!(!report(&mut world, &again), "what has ended does not begin again");
}

#[test]
fn not_this_pod() {
    let (mut world, _, seen) = bound();
    assert!(!report(&mut world, &PodStatus { uid: "other".parse().unwrap(), ..seen.clone() }));
    assert!(!report(&mut world, &PodStatus { name: "q".to_owned(), ..seen.clone() }));
    assert_eq!(apply_report(&world.world, &"n2".parse().unwrap(), &seen, START), None);
}

#[test]
fn removed() {
    let (mut world, pod, seen) = bound();
    let key = meta::key(&pod.metadata);
    assert_eq!(
        pod_removed(&world.world, &node(), &seen.uid),
        None,
        "it is to run: the node will start it again"
    );
    world.delete(Kind::POD, &key);
    assert_eq!(pod_removed(&world.world, &"n2".parse().unwrap(), &seen.uid), None);
    assert_eq!(pods_gone(&world.world, &node(), &BTreeSet::from([seen.uid.clone()])), []);
    assert_eq!(pods_gone(&world.world, &node(), &BTreeSet::new()).len(), 1);
    world.apply(pod_removed(&world.world, &node(), &seen.uid).into_iter().collect());
    assert!(world.world.pods.is_empty());
    assert_eq!(pod_removed(&world.world, &node(), &seen.uid), None);
}

#[test]
fn removed_but_held_by_a_finalizer() {
    let (mut world, pod, seen) = bound();
    world.patch(Kind::POD, "p", json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    world.delete(Kind::POD, &meta::key(&pod.metadata));
    world.apply(pod_removed(&world.world, &node(), &seen.uid).into_iter().collect());
    world.settle();
    assert_eq!(world.pods("p").len(), 1);
    assert_eq!(pod_removed(&world.world, &node(), &seen.uid), None);
    world.patch(Kind::POD, "p", json!({"metadata": {"finalizers": null}}));
    world.settle();
    assert_eq!(world.pods("p").len(), 0);
}

#[test]
fn events() {
    let (mut world, _, seen) = bound();
    let event = |pod: Option<PodUid>| NodeEvent {
        at: START,
        pod,
        container: None,
        kind: EventKind::Warning,
        reason: "BackOff".to_owned(),
        message: "Back-off restarting".to_owned(),
    };
    let mut say = |pod: Option<PodUid>| {
        let change = node_event(&world.world, &node(), &event(pod));
        world.apply(change.into_iter().collect());
        world.take_events()
    };
    assert_eq!(say(Some(seen.uid.clone())), ["!Pod/p BackOff Back-off restarting"]);
    assert_eq!(say(None), ["!Node/n1 BackOff Back-off restarting"]);
    assert_eq!(say(Some("gone".parse().unwrap())), Vec::<String>::new());
}
