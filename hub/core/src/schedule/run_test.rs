use proptest::prelude::{ProptestConfig, prop, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::*;
use crate::control::test_world::{START, TestWorld};

fn pod(world: &mut TestWorld, name: &str, cpu: &str) {
    let container =
        json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}});
    world.put(Kind::POD, json!({"metadata": {"name": name}, "spec": {"containers": [container]}, "status": {"phase": "Pending"}}));
}

fn run_schedule(world: &mut TestWorld) {
    world.take_events();
    let changes = schedule(&world.world, START);
    world.apply(changes);
}

fn place(world: &TestWorld, name: &str) -> Value {
    world.object(Kind::POD, name)["spec"]["nodeName"].clone()
}

#[test]
fn bound() {
    let mut world = TestWorld::with_nodes(1);
    pod(&mut world, "p", "1");
    run_schedule(&mut world);
    assert_eq!(place(&world, "p"), "n1");
    assert_eq!(world.take_events(), ["Pod/p Scheduled Successfully assigned default/p to n1"]);
    assert_eq!(
        world.object(Kind::POD, "p")["status"]["conditions"],
        json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2027-01-15T08:00:00Z"}])
    );
    assert_eq!(schedule(&world.world, START), []);
}

fn check(nodes: &[Value], cpu: &str, expected: &str) {
    let mut world = TestWorld::new();
    for (i, patch) in nodes.iter().enumerate() {
        world.node(&format!("n{i}"), patch.clone());
    }
    pod(&mut world, "p", cpu);
    run_schedule(&mut world);
    assert_eq!(world.take_events(), [format!("!Pod/p FailedScheduling {expected}")]);
    let condition = &world.object(Kind::POD, "p")["status"]["conditions"][0];
    assert_eq!(
        (condition["status"].as_str(), condition["reason"].as_str(), condition["message"].as_str()),
        (Some("False"), Some("Unschedulable"), Some(expected))
    );
    assert_eq!(schedule(&world.world, START.plus(std::time::Duration::from_secs(60))), [], "said once");
}

#[test]
fn words_for_pods_that_wait() {
    let cordoned = json!({"spec": {"unschedulable": true}});
    let tainted = json!({"spec": {"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}});
    let small = json!({"status": {"allocatable": {"memory": "1Mi"}}});
    check(&[], "1", "no nodes available to schedule pods");
    check(&[json!({})], "5", "0/1 nodes are available: 1 Insufficient cpu.");
    check(std::slice::from_ref(&cordoned), "1", "0/1 nodes are available: 1 node(s) were unschedulable.");
    check(
        &[json!({}), json!({}), cordoned, tainted, small],
        "5",
        "0/5 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint {a: b}, \
         1 node(s) were unschedulable, 3 Insufficient cpu.",
    );
}

#[test]
fn a_pod_that_waited_is_bound_when_there_is_room() {
    let mut world = TestWorld::new();
    pod(&mut world, "p", "1");
    run_schedule(&mut world);
    world.node("n1", json!({}));
    run_schedule(&mut world);
    assert_eq!(place(&world, "p"), "n1");
    assert_eq!(world.object(Kind::POD, "p")["status"]["conditions"][0]["status"], "True");
}

/// What is missing is told as it is after the whole turn, so that the next turn has nothing to correct.
#[test]
fn a_later_pod_takes_the_room() {
    let mut world = TestWorld::new();
    world.node("n1", json!({"status": {"allocatable": {"cpu": "1", "pods": "1"}}}));
    pod(&mut world, "a", "2");
    pod(&mut world, "b", "1m");
    run_schedule(&mut world);
    let message = world.object(Kind::POD, "a")["status"]["conditions"][0]["message"].clone();
    assert_eq!(message, "0/1 nodes are available: 1 Insufficient cpu, 1 Too many pods.");
    assert_eq!(schedule(&world.world, START), []);
}

#[test]
fn spread_by_owner_then_by_use_then_by_name() {
    let mut world = TestWorld::with_nodes(3);
    pod(&mut world, "a", "2");
    run_schedule(&mut world);
    pod(&mut world, "b", "1");
    run_schedule(&mut world);
    assert_eq!((place(&world, "a"), place(&world, "b")), (json!("n1"), json!("n2")));
    world.deployment(json!({"spec": {"replicas": 6}}));
    world.settle();
    let mut counts = BTreeMap::new();
    for pod in world.pods("web-app") {
        *counts.entry(pod.spec.clone().unwrap().node_name.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn the_most_important_first() {
    let mut world = TestWorld::with_nodes(1);
    pod(&mut world, "a", "4");
    pod(&mut world, "b", "4");
    world.patch(Kind::POD, "b", json!({"spec": {"priority": 10}}));
    run_schedule(&mut world);
    assert_eq!((place(&world, "a"), place(&world, "b")), (Value::Null, json!("n1")));
}

#[test]
fn pods_of_others_are_left_alone() {
    let mut world = TestWorld::with_nodes(1);
    for (name, patch) in [
        ("other", json!({"spec": {"schedulerName": "other"}})),
        ("gated", json!({"spec": {"schedulingGates": [{"name": "g"}]}})),
        ("failed", json!({"status": {"phase": "Failed"}})),
        ("leaving", json!({"metadata": {"deletionTimestamp": "2027-01-15T08:00:00Z"}})),
    ] {
        pod(&mut world, name, "1");
        world.patch(Kind::POD, name, patch);
    }
    assert_eq!(schedule(&world.world, START), []);
}

/// One serial port, two pods that want it: the second waits for the first to go.
#[test]
fn a_device_is_given_once() {
    let mut world = TestWorld::new();
    world.node("n1", json!({"status": {"allocatable": {"devices.gannet.dev/modbus": "1"}}}));
    for name in ["a", "b"] {
        let amounts = json!({"devices.gannet.dev/modbus": "1"});
        let container =
            json!({"name": "c", "image": "i", "resources": {"limits": amounts, "requests": amounts}});
        world.put(Kind::POD, json!({"metadata": {"name": name}, "spec": {"containers": [container]}, "status": {"phase": "Pending"}}));
    }
    run_schedule(&mut world);
    assert_eq!((place(&world, "a"), place(&world, "b")), (json!("n1"), Value::Null));
    let message = world.object(Kind::POD, "b")["status"]["conditions"][0]["message"].clone();
    assert_eq!(message, "0/1 nodes are available: 1 Insufficient devices.gannet.dev/modbus.");
    world.patch(Kind::POD, "a", json!({"status": {"phase": "Succeeded"}}));
    run_schedule(&mut world);
    assert_eq!(place(&world, "b"), "n1");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// No node ever gets more than it has, every pod that waits fits nowhere, and the same world gives the same result.
    #[test]
    fn never_too_much(
        nodes in prop::collection::vec((1_u64..6, 1_u64..5), 0..5),
        pods in prop::collection::vec(1_u64..3000, 1..25),
    ) {
        let mut world = TestWorld::new();
        for (i, (cores, room)) in nodes.iter().enumerate() {
            world.node(&format!("n{i}"), json!({"status": {"allocatable": {"cpu": cores.to_string(), "pods": room.to_string()}}}));
        }
        for (i, millis) in pods.iter().enumerate() {
            pod(&mut world, &format!("p{i}"), &format!("{millis}m"));
        }
        prop_assert_eq!(schedule(&world.world, START), schedule(&world.world, START));
        run_schedule(&mut world);
        let mut free: Vec<(i64, i64)> = nodes.iter().map(|&(cores, room)| (cores as i64 * 1000, room as i64)).collect();
        for (i, &millis) in pods.iter().enumerate() {
            if let Some(node) = place(&world, &format!("p{i}")).as_str() {
                let node: usize = node[1..].parse().unwrap();
                free[node].0 -= millis as i64;
                free[node].1 -= 1;
            }
        }
        prop_assert!(free.iter().all(|&(cpu, room)| cpu >= 0 && room >= 0), "{:?}", free);
        for (i, &millis) in pods.iter().enumerate() {
            if place(&world, &format!("p{i}")).is_null() {
                prop_assert!(!free.iter().any(|&(cpu, room)| cpu >= millis as i64 && room > 0), "p{} fits: {:?}", i, free);
            }
        }
        prop_assert_eq!(schedule(&world.world, START), vec![]);
    }
}
