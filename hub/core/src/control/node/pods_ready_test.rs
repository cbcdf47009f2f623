use serde_json::{Value, json};

use super::*;
use crate::Kind;
use crate::control::test_world::TestWorld;

fn world(gates: &[&str]) -> TestWorld {
    let mut world = TestWorld::with_nodes(1);
    let gates: Vec<Value> = gates.iter().map(|gate| json!({"conditionType": gate})).collect();
    world.put(
        Kind::POD,
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "readinessGates": gates,
               "containers": [{"name": "a", "image": "a:1"}]}, "status": {"phase": "Pending"}}),
    );
    let pod = world.pods("p")[0].clone();
    world.report(&pod, true);
    world
}

/// What a client does through the status subresource.
fn gate(world: &mut TestWorld, kind: &str, status: &str) {
    let mut pod = world.object(Kind::POD, "p");
    let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
    conditions.retain(|c| c["type"] != kind);
    conditions.push(json!({"type": kind, "status": status}));
    world.put(Kind::POD, pod);
}

fn check(world: &mut TestWorld, expected: &str) {
    world.settle();
    let pod = world.pods("p")[0].clone();
    let ready = meta::condition(&pod, "Ready").unwrap();
    let words = [Some(ready.status.clone()), ready.reason.clone(), ready.message.clone()];
    assert_eq!(words.into_iter().flatten().collect::<Vec<_>>().join(" "), expected);
}

#[test]
fn gates_hold_a_pod_back_until_somebody_opens_them() {
    let mut world = world(&["example.com/a", "example.com/b"]);
    check(
        &mut world,
        "False ReadinessGatesNotReady corresponding condition of pod readiness gate \"example.com/a\" does not exist., \
         corresponding condition of pod readiness gate \"example.com/b\" does not exist.",
    );
    gate(&mut world, "example.com/a", "True");
    gate(&mut world, "example.com/b", "False");
    check(
        &mut world,
        "False ReadinessGatesNotReady the status of pod readiness gate \"example.com/b\" is not \"True\", but False",
    );
    gate(&mut world, "example.com/b", "True");
    check(&mut world, "True");
    // A report keeps what others set.
    let pod = world.pods("p")[0].clone();
    world.report(&pod, false);
    check(&mut world, "False ContainersNotReady containers with unready status: [a]");
    world.report(&pod, true);
    check(&mut world, "True");
    gate(&mut world, "example.com/a", "Unknown");
    check(
        &mut world,
        "False ReadinessGatesNotReady the status of pod readiness gate \"example.com/a\" is not \"True\", but Unknown",
    );
}

#[test]
fn a_silent_node_makes_its_pods_unready_for_as_long() {
    let mut world = world(&[]);
    check(&mut world, "True");
    let node = |world: &TestWorld| world.world.nodes.values().next().cloned().unwrap();
    let down = crate::control::node_down(&node(&world), "the agent stopped reporting", world.now);
    world.apply(down);
    check(&mut world, "False NodeNotReady Node is not ready");
    let up = crate::control::node_up(&node(&world), world.now);
    world.apply(up);
    check(&mut world, "True");
}

/// The node itself knows nothing of gates: what it is told of services leaves out pods that are held back.
#[test]
fn services_wait_for_the_gates_on_the_node_too() {
    let mut world = world(&["example.com/a"]);
    world.patch(Kind::POD, "p", json!({"metadata": {"labels": {"app": "p"}}}));
    world.put(
        Kind::SERVICE,
        json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.43.0.9", "selector": {"app": "p"}, "ports": [{"port": 80}]}}),
    );
    let backends = |world: &TestWorld| {
        let node = "n1".parse().unwrap();
        let documents = crate::compile::compile(&world.world, &Default::default(), &node);
        let network: Value = serde_json::from_slice(&documents.blobs[&documents.network]).unwrap();
        network["services"][0]["backends"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(backends(&world), 0);
    gate(&mut world, "example.com/a", "True");
    assert_eq!(backends(&world), 1);
}
