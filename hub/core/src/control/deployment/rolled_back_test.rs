use gannet_protocols_model::{Digest, PodStatus, RolledBack as Given};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::Kind;
use crate::control::apply_report;
use crate::control::test_world::{START, TestWorld, running};

fn image(tag: u32) -> Value {
    let container = json!([{"name": "web-app", "image": format!("my-web-app:{tag}")}]);
    json!({"spec": {"template": {"spec": {"containers": container}}}})
}

/// The device of a pod says that it runs the manifest before.
fn went_back(pod: &Pod) -> PodStatus {
    PodStatus {
        rolled_back: Some(Given {
            failed: Digest::of(b"failed"),
            at: START,
            reason: "CrashLoopBackOff".to_owned(),
            message: "container web-app ended with 1 six times".to_owned(),
        }),
        ..running(pod, true, START)
    }
}

fn report(world: &mut TestWorld, report: &PodStatus, pod: &Pod) {
    let node = meta::node_name(pod).unwrap().parse().unwrap();
    let change = apply_report(&world.world, &node, report, world.now);
    world.apply(change.into_iter().collect());
}

fn with_image(world: &TestWorld, tag: u32) -> Vec<std::sync::Arc<Pod>> {
    let image = format!("my-web-app:{tag}");
    let is = |pod: &Pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some(&image);
    world.pods("web-app").into_iter().filter(|pod| is(pod)).collect()
}

fn status(world: &TestWorld) -> (Value, String) {
    let mut status = world.object(Kind::DEPLOYMENT, "web-app")["status"].clone();
    let conditions = status.as_object_mut().unwrap().remove("conditions").unwrap();
    let conditions = conditions.as_array().cloned().unwrap();
    let progressing = conditions.into_iter().find(|c| c["type"] == "Progressing").unwrap();
    let text = |field: &str| progressing[field].as_str().unwrap().to_owned();
    (status, format!("{} {} {}", text("status"), text("reason"), text("message")))
}

/// All devices carry out what they are told, but those that have this image go back.
fn finish(world: &mut TestWorld, bad: u32) {
    for _ in 0..20 {
        world.settle();
        for pod in world.pods("web-app") {
            if with_image(world, bad).contains(&pod) && !meta::is_terminating(&pod.metadata) {
                let report_ = went_back(&pod);
                report(world, &report_, &pod);
            } else {
                world.node_works(&pod);
            }
        }
        world.wait(1);
    }
    world.settle();
    assert!(world.decide().changes.is_empty(), "{:?}", world.decide().changes);
}

fn check(patch: Value, expected: Value) {
    let mut world = TestWorld::with_nodes(3);
    world.deployment(patch.clone());
    world.finish();
    world.take_events();
    world.patch(Kind::DEPLOYMENT, "web-app", image(2));
    finish(&mut world, 2);
    let (counts, progressing) = status(&world);
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&counts[name], value, "{name} of {counts} with {patch}");
    }
    let bad = with_image(&world, 2);
    let first = &bad[0];
    assert!(progressing.starts_with("False ProgressDeadlineExceeded ReplicaSet \"web-app-"), "{progressing}");
    let words = format!("was rolled back: pod {:?} on node ", meta::name(&first.metadata));
    assert!(progressing.contains(&words), "{progressing}");
    assert!(progressing.contains("CrashLoopBackOff: the device gave up manifest sha256:"), "{progressing}");
    assert!(
        progressing.ends_with("runs the one before: container web-app ended with 1 six times"),
        "{progressing}"
    );
    let events = world.take_events();
    let told = events.iter().filter(|e| e.starts_with("!Deployment/web-app RolledBack")).count();
    assert_eq!(told, 1, "{events:#?}");
    // What runs still serves, and says of itself what it is.
    for pod in &bad {
        assert!(meta::is_ready(pod));
        let status = pod.status.clone().unwrap();
        assert_eq!(status.reason.as_deref(), Some("RolledBack"));
        let image = format!("{}", Digest::of(b"image"));
        assert_eq!(status.container_statuses.unwrap()[0].image, image, "not that of the spec");
    }
    // Back to the first template: nothing is left of the failure.
    world.patch(Kind::DEPLOYMENT, "web-app", image(1));
    world.settle();
    assert!(status(&world).1.starts_with("True "), "{}", status(&world).1);
    finish(&mut world, 2);
    let (counts, progressing) = status(&world);
    assert!(progressing.starts_with("True NewReplicaSetAvailable"), "{progressing}");
    assert_eq!((&counts["updatedReplicas"], &counts["availableReplicas"]), (&json!(3), &json!(3)));
    // Forward to a third one.
    world.patch(Kind::DEPLOYMENT, "web-app", image(2));
    finish(&mut world, 2);
    world.patch(Kind::DEPLOYMENT, "web-app", image(3));
    finish(&mut world, 2);
    let (counts, progressing) = status(&world);
    assert!(progressing.starts_with("True NewReplicaSetAvailable"), "{progressing}");
    assert_eq!((&counts["updatedReplicas"], &counts["availableReplicas"]), (&json!(3), &json!(3)));
}

#[test]
fn a_rollout_stops_at_the_first_device_that_goes_back() {
    // One more pod than wanted is made; it goes back; the three old ones stay.
    check(
        json!({}),
        json!({"replicas": 4, "updatedReplicas": null, "readyReplicas": 3, "availableReplicas": 3, "unavailableReplicas": 1}),
    );
    check(
        json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}}),
        json!({"replicas": 3, "updatedReplicas": null, "readyReplicas": 2, "availableReplicas": 2, "unavailableReplicas": 1}),
    );
    // All old pods are gone before the first new one comes: every device goes back, and the pods run on.
    check(
        json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        json!({"replicas": 3, "updatedReplicas": null, "readyReplicas": null, "availableReplicas": null, "unavailableReplicas": 3}),
    );
}

#[test]
fn a_pod_that_runs_its_own_manifest_again_counts_again() {
    let mut world = TestWorld::with_nodes(3);
    world.deployment(json!({}));
    world.finish();
    let pod = world.pods("web-app")[1].clone();
    let back = went_back(&pod);
    report(&mut world, &back, &pod);
    world.settle();
    let (counts, progressing) = status(&world);
    assert_eq!((&counts["updatedReplicas"], &counts["readyReplicas"]), (&json!(2), &json!(2)));
    assert!(progressing.starts_with("False ProgressDeadlineExceeded"), "{progressing}");
    assert_eq!(world.pods("web-app").len(), 3, "it is not replaced");
    world.report(&pod, true);
    world.settle();
    let (counts, progressing) = status(&world);
    assert_eq!((&counts["updatedReplicas"], &counts["readyReplicas"]), (&json!(3), &json!(3)));
    assert!(progressing.starts_with("True NewReplicaSetAvailable"), "{progressing}");
}
