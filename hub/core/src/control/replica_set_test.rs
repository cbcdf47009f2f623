use serde_json::{Value, json};

use super::*;
use crate::control::test_world::TestWorld;

fn set(patch: Value) -> TestWorld {
    let mut world = TestWorld::with_nodes(2);
    let mut set = json!({
        "metadata": {"name": "web", "generation": 1},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "tier": "front"}, "annotations": {"a": "b"}, "finalizers": ["example.com/hold"]},
                "spec": {"containers": [{"name": "web", "image": "web:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]},
            },
        },
    });
    crate::control::test_world::merge(&mut set, patch);
    world.put(Kind::REPLICA_SET, set);
    world.settle();
    world
}

#[test]
fn pods_come_from_the_template() {
    let mut world = set(json!({}));
    let events = world.take_events();
    let pods = world.pods("web-");
    assert_eq!(pods.len(), 2);
    let pod = serde_json::to_value(pods[0].as_ref()).unwrap();
    let name = pods[0].metadata.name.as_deref().unwrap();
    assert!(name.len() == "web-xxxxx".len() && name.starts_with("web-"), "{name}");
    assert!(events.contains(&format!("ReplicaSet/web SuccessfulCreate Created pod: {name}")), "{events:?}");
    assert_eq!(pod["metadata"]["generateName"], "web-");
    assert_eq!(pod["metadata"]["labels"], json!({"app": "web", "tier": "front"}));
    assert_eq!(pod["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(pod["metadata"]["finalizers"], json!(["example.com/hold"]));
    let owner = world.object(Kind::REPLICA_SET, "web")["metadata"]["uid"].clone();
    assert_eq!(
        pod["metadata"]["ownerReferences"],
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": owner,
                "controller": true, "blockOwnerDeletion": true}])
    );
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod["status"]["qosClass"], "Guaranteed");
}

#[test]
fn long_names_are_cut() {
    let long = "a".repeat(100);
    let world = set(json!({"metadata": {"name": long}}));
    assert!(world.pods("a").iter().all(|pod| pod.metadata.name.as_ref().unwrap().len() == 63));
}

#[test]
fn finished_and_leaving_pods_are_replaced() {
    let mut world = set(json!({"spec": {"template": {"metadata": {"finalizers": null}}}}));
    let pods = world.pods("web-");
    let mut failed = serde_json::to_value(pods[0].as_ref()).unwrap();
    failed["status"]["phase"] = json!("Failed");
    world.put(Kind::POD, failed);
    world.delete(Kind::POD, &meta::key(&pods[1].metadata));
    world.settle();
    assert_eq!(world.pods("web-").iter().filter(|pod| meta::is_active(pod)).count(), 2);
    assert_eq!(world.pods("web-").len(), 4);
    assert_eq!(world.object(Kind::REPLICA_SET, "web")["status"]["replicas"], 2);
}

#[test]
fn the_least_missed_pod_goes() {
    let mut world = set(json!({"spec": {"replicas": 3, "template": {"metadata": {"finalizers": null}}}}));
    let pods = world.pods("web-");
    world.report(&pods[0].clone(), true);
    world.report(&pods[2].clone(), true);
    world.take_events();
    world.patch(Kind::REPLICA_SET, "web", json!({"spec": {"replicas": 2}}));
    world.settle();
    let leaving: Vec<_> =
        world.pods("web-").into_iter().filter(|pod| meta::is_terminating(&pod.metadata)).collect();
    assert_eq!(leaving.len(), 1);
    assert_eq!(leaving[0].metadata.uid, pods[1].metadata.uid);
    let name = pods[1].metadata.name.as_deref().unwrap();
    assert_eq!(world.take_events(), [format!("ReplicaSet/web SuccessfulDelete Deleted pod: {name}")]);
    let status = world.object(Kind::REPLICA_SET, "web")["status"].clone();
    assert_eq!(
        status,
        json!({"replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 2})
    );
}

#[test]
fn adopts_and_releases() {
    let mut world = set(json!({"spec": {"replicas": 1, "template": {"metadata": {"finalizers": null}}}}));
    world.put(
        Kind::POD,
        json!({"metadata": {"name": "lone", "labels": {"app": "web"}}, "spec": {"containers": []}}),
    );
    world.settle();
    // One too many: the adopted one was not ready either, but the choice is made among both.
    assert_eq!(world.pods("").iter().filter(|pod| meta::is_active(pod)).count(), 1);
    let left = world.pods("").into_iter().find(|pod| meta::is_active(pod)).unwrap();
    let name = left.metadata.name.clone().unwrap();
    world.patch(Kind::POD, &name, json!({"metadata": {"labels": {"app": "debug"}}}));
    world.settle();
    assert!(world.object(Kind::POD, &name)["metadata"]["ownerReferences"].is_null());
    assert_eq!(world.pods("").iter().filter(|pod| meta::is_active(pod)).count(), 2);
}

#[test]
fn nothing_new_in_a_namespace_that_ends() {
    let mut world = set(json!({"spec": {"replicas": 0}}));
    world.delete(Kind::NAMESPACE, &ObjectKey::new("", "default"));
    world.patch(Kind::REPLICA_SET, "web", json!({"spec": {"replicas": 3}}));
    world.turn();
    assert_eq!(world.pods("").len(), 0);
}

#[test]
fn many_at_once() {
    let world = set(json!({"spec": {"replicas": 1200}}));
    assert_eq!(world.pods("web-").len(), 1200);
}
