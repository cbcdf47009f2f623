use serde_json::{Value, json};

use super::*;
use crate::control::test_world::TestWorld;

fn running() -> TestWorld {
    let mut world = TestWorld::with_nodes(1);
    world.deployment(json!({}));
    world.finish();
    world
}

fn key() -> ObjectKey {
    ObjectKey::new("default", "web-app")
}

fn hold(world: &mut TestWorld, finalizer: &str) {
    world.patch(Kind::DEPLOYMENT, "web-app", json!({"metadata": {"finalizers": [finalizer]}}));
    world.delete(Kind::DEPLOYMENT, &key());
}

#[test]
fn what_is_owned_goes_in_one_turn() {
    let mut world = running();
    world.delete(Kind::DEPLOYMENT, &key());
    world.turn();
    assert!(world.world.replica_sets.is_empty());
    assert!(world.pods("").iter().all(|pod| meta::is_terminating(&pod.metadata)));
    assert_eq!(world.pods("").len(), 3, "they stay until their node has ended them");
    world.finish();
    assert!(world.world.pods.is_empty());
}

#[test]
fn foreground_waits_for_the_pods() {
    let mut world = running();
    hold(&mut world, FOREGROUND);
    world.settle();
    assert_eq!(
        (world.world.deployments.len(), world.world.replica_sets.len(), world.pods("").len()),
        (1, 1, 3)
    );
    assert!(world.pods("").iter().all(|pod| meta::is_terminating(&pod.metadata)));
    world.finish();
    assert_eq!(
        (world.world.deployments.len(), world.world.replica_sets.len(), world.pods("").len()),
        (0, 0, 0)
    );
}

#[test]
fn orphans_stay() {
    let mut world = running();
    hold(&mut world, ORPHAN);
    world.finish();
    assert_eq!(
        (world.world.deployments.len(), world.world.replica_sets.len(), world.pods("").len()),
        (0, 1, 3)
    );
    let set = world.world.replica_sets.values().next().unwrap();
    assert_eq!(set.metadata.owner_references, None);
}

fn check(references: Value, expected: Option<usize>) {
    let mut world = TestWorld::new();
    world.put(Kind::CONFIG_MAP, json!({"metadata": {"name": "owner", "uid": "u1"}}));
    world.put(Kind::SECRET, json!({"metadata": {"name": "owned", "ownerReferences": references}}));
    world.settle();
    let left = world.find(Kind::SECRET, "owned");
    let owners = left.map(|s| s["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len));
    assert_eq!(owners, expected, "{references}");
}

#[test]
fn owners() {
    let owner = |api: &str, kind: &str, name: &str, uid: &str| json!({"apiVersion": api, "kind": kind, "name": name, "uid": uid});
    let here = owner("v1", "ConfigMap", "owner", "u1");
    let former = owner("v1", "ConfigMap", "owner", "u0");
    let gone = owner("v1", "ConfigMap", "other", "u2");
    check(json!([here]), Some(1));
    check(json!([former]), None);
    check(json!([gone]), None);
    check(json!([here, gone]), Some(1));
    check(json!([former, gone]), None);
    // In doubt nothing is collected.
    check(json!([owner("example.com/v1", "Gateway", "x", "u3")]), Some(1));
    check(json!([owner("v1", "Event", "x", "u3")]), Some(1));
}

#[test]
fn what_an_unreadable_owner_owns_stays() {
    let mut world = running();
    let broken = br#"{"metadata": {"name": "web-app"}, "spec": 5}"#;
    world.world.deployments.clear();
    assert!(world.world.apply(Kind::DEPLOYMENT, &key(), Some(broken)).is_err());
    world.turn();
    assert_eq!((world.world.replica_sets.len(), world.pods("").len()), (1, 3));
    assert!(world.pods("").iter().all(|pod| !meta::is_terminating(&pod.metadata)));
}

#[test]
fn a_namespace_takes_everything_along() {
    let mut world = running();
    world.put(Kind::CONFIG_MAP, json!({"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}));
    world.put(
        Kind::SERVICE,
        json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "web-app"}, "ports": [{"port": 80}]}}),
    );
    world.settle();
    let namespace = ObjectKey::new("", "default");
    world.delete(Kind::NAMESPACE, &namespace);
    world.settle();
    assert_eq!(world.object(Kind::NAMESPACE, "default")["status"]["phase"], "Terminating");
    assert_eq!((world.pods("").len(), world.world.deployments.len(), world.world.services.len()), (3, 0, 0));
    world.nodes_work();
    world.settle();
    assert_eq!(world.pods("").len(), 0);
    assert!(world.world.namespaces.contains_key(&namespace), "the ConfigMap is held");
    world.patch(Kind::CONFIG_MAP, "c", json!({"metadata": {"finalizers": null}}));
    world.turn();
    world.turn();
    assert_eq!(world.world.config_maps.len(), 0);
    assert_eq!(world.world.service_accounts.keys().filter(|key| key.namespace == "default").count(), 0);
    assert!(!world.world.namespaces.contains_key(&namespace));
    // The system's namespaces come back.
    world.settle();
    assert!(world.world.namespaces.contains_key(&namespace));
    assert_eq!(world.world.service_accounts.len(), 4);
}

#[test]
fn pods_that_nobody_will_report_on() {
    let mut world = TestWorld::with_nodes(1);
    let mut pod = |name: &str, node: Option<&str>, meta: Value| {
        let mut object =
            json!({"metadata": {"name": name}, "spec": {"containers": [], "schedulerName": "none"}});
        object["spec"]["nodeName"] = json!(node);
        crate::control::test_world::merge(&mut object["metadata"], meta);
        world.put(Kind::POD, object);
    };
    let ending = json!({"deletionTimestamp": "2027-01-15T08:00:00Z", "deletionGracePeriodSeconds": 30});
    let held = json!({"deletionTimestamp": "2027-01-15T08:00:00Z", "finalizers": ["example.com/hold"]});
    pod("a-waiting", None, json!({}));
    pod("b-never-bound", None, ending.clone());
    pod("c-running", Some("n1"), json!({}));
    pod("d-ending", Some("n1"), ending.clone());
    pod("e-ending-node-gone", Some("n9"), ending);
    pod("f-node-unknown-yet", Some("n9"), json!({}));
    pod("g-held", None, held);
    pod(
        "h-forced",
        Some("n1"),
        json!({"deletionTimestamp": "2027-01-15T08:00:00Z", "deletionGracePeriodSeconds": 0}),
    );
    world.settle();
    let names = |world: &TestWorld| -> Vec<String> {
        world.world.pods.keys().map(|key| key.name[..1].to_owned()).collect()
    };
    assert_eq!(names(&world), ["a", "c", "d", "f", "g"]);
    world.now = world.next.unwrap();
    world.settle();
    assert_eq!(names(&world), ["a", "c", "d", "g"]);
}
