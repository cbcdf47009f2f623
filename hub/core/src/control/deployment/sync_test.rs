use proptest::prelude::{
    Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest,
};
use proptest::strategy::Strategy as Strategy_;
use serde_json::{Value, json};

use super::*;
use crate::control::test_world::TestWorld;

fn image(tag: u32) -> Value {
    let container = json!([{"name": "web-app", "image": format!("my-web-app:{tag}")}]);
    json!({"spec": {"template": {"spec": {"containers": container}}}})
}

fn key() -> ObjectKey {
    ObjectKey::new("default", "web-app")
}

fn status(world: &TestWorld) -> Value {
    world.object(Kind::DEPLOYMENT, "web-app")["status"].clone()
}

fn condition(world: &TestWorld, kind: &str) -> String {
    let status = status(world);
    let found = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind).cloned();
    let text = |field: &str| found.as_ref().map_or("-", |c| c[field].as_str().unwrap_or("-")).to_owned();
    format!("{} {} {}", text("status"), text("reason"), text("message"))
}

/// Events about the Deployment, with the ReplicaSets' names replaced by their image's tag.
fn scalings(world: &mut TestWorld) -> Vec<String> {
    let names: Vec<(String, String)> = world
        .world
        .replica_sets
        .values()
        .map(|set| {
            let image = set.spec.template.as_ref().unwrap().spec.as_ref().unwrap().containers[0]
                .image
                .clone()
                .unwrap();
            (set.metadata.name.clone().unwrap(), format!("v{}", image.rsplit(':').next().unwrap()))
        })
        .collect();
    let events = world.take_events().into_iter().filter(|e| e.starts_with("Deployment/"));
    events
        .map(|mut event| {
            for (name, version) in &names {
                event = event.replace(name, version);
            }
            event.replace("Deployment/web-app ScalingReplicaSet Scaled ", "").replace(" replica set", "")
        })
        .collect()
}

fn rolled_out(patch: Value) -> TestWorld {
    let mut world = TestWorld::with_nodes(3);
    world.deployment(patch);
    world.finish();
    world.take_events();
    world
}

#[test]
fn first_rollout() {
    let mut world = TestWorld::with_nodes(3);
    world.deployment(json!({"metadata": {"annotations": {
        "kubernetes.io/change-cause": "first", "kubectl.kubernetes.io/last-applied-configuration": "{}"}}}));
    world.settle();
    assert_eq!(
        condition(&world, "Available"),
        "False MinimumReplicasUnavailable Deployment does not have minimum availability."
    );
    let (set, object) =
        world.world.replica_sets.iter().next().map(|(k, s)| (k.name.clone(), s.clone())).unwrap();
    assert_eq!(
        condition(&world, "Progressing"),
        format!("True ReplicaSetUpdated ReplicaSet \"{set}\" is progressing.")
    );
    assert_eq!(
        (status(&world)["replicas"].clone(), status(&world)["unavailableReplicas"].clone()),
        (json!(3), json!(3))
    );
    let hash = set.strip_prefix("web-app-").unwrap();
    let labels = serde_json::to_value(&object.metadata.labels).unwrap();
    assert_eq!(labels, json!({"app": "web-app", "pod-template-hash": hash}));
    assert_eq!(
        serde_json::to_value(&object.metadata.annotations).unwrap(),
        json!({
            "deployment.kubernetes.io/revision": "1", "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4", "kubernetes.io/change-cause": "first",
        })
    );
    let owner = &object.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), owner.controller, owner.block_owner_deletion),
        ("Deployment", Some(true), Some(true))
    );
    assert_eq!(scalings(&mut world), ["up v1 from 0 to 3"]);

    world.finish();
    assert_eq!(
        condition(&world, "Available"),
        "True MinimumReplicasAvailable Deployment has minimum availability."
    );
    assert_eq!(
        condition(&world, "Progressing"),
        format!("True NewReplicaSetAvailable ReplicaSet \"{set}\" has successfully progressed.")
    );
    let mut counts = status(&world);
    counts.as_object_mut().unwrap().remove("conditions");
    assert_eq!(
        counts,
        json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3})
    );
    let annotations = &world.object(Kind::DEPLOYMENT, "web-app")["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "1");
}

/// One write, one turn: pods are bound with the turn that makes them.
#[test]
fn one_turn_from_deployment_to_bound_pods() {
    let mut world = TestWorld::with_nodes(3);
    world.deployment(json!({}));
    assert!(world.turn());
    let pods = world.pods("web-app");
    let nodes: std::collections::BTreeSet<_> = pods.iter().filter_map(|p| meta::node_name(p)).collect();
    assert_eq!((pods.len(), nodes.len()), (3, 3));
    assert!(!world.turn(), "{:?}", world.decide());
}

fn check_rollout(patch: Value, then: Value, expected: &[&str]) {
    let mut world = rolled_out(patch.clone());
    world.patch(Kind::DEPLOYMENT, "web-app", then.clone());
    world.finish();
    assert_eq!(scalings(&mut world), expected, "{patch} then {then}");
    assert!(
        condition(&world, "Progressing").starts_with("True NewReplicaSetAvailable"),
        "{patch} then {then}"
    );
}

#[test]
fn rollouts_step_by_step() {
    let rolling = |surge: Value, unavailable: Value| json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}});
    // 25% of 3: one more, none less.
    check_rollout(
        json!({}),
        image(2),
        &[
            "up v2 from 0 to 1",
            "down v1 from 3 to 2",
            "up v2 from 1 to 2",
            "down v1 from 2 to 1",
            "up v2 from 2 to 3",
            "down v1 from 1 to 0",
        ],
    );
    check_rollout(
        rolling(json!(0), json!(1)),
        image(2),
        &[
            "up v2 from 0 to 0",
            "down v1 from 3 to 2",
            "up v2 from 0 to 1",
            "down v1 from 2 to 1",
            "up v2 from 1 to 2",
            "down v1 from 1 to 0",
            "up v2 from 2 to 3",
        ][1..],
    );
    check_rollout(rolling(json!("100%"), json!(0)), image(2), &["up v2 from 0 to 3", "down v1 from 3 to 0"]);
    check_rollout(
        json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
        image(2),
        &["down v1 from 3 to 0", "up v2 from 0 to 3"],
    );
    check_rollout(json!({}), json!({"spec": {"replicas": 5}}), &["up v1 from 3 to 5"]);
    check_rollout(json!({}), json!({"spec": {"replicas": 0}}), &["down v1 from 3 to 0"]);
}

#[test]
fn recreate_waits_until_nothing_old_is_left() {
    let mut world = rolled_out(json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}));
    world.patch(Kind::DEPLOYMENT, "web-app", image(2));
    world.settle();
    assert_eq!(world.sizes().len(), 1, "pods are on their way out, so nothing new is made");
    assert!(world.pods("web-app").iter().all(|pod| meta::is_terminating(&pod.metadata)));
    world.nodes_work();
    world.settle();
    assert_eq!(world.sizes(), [(0, 0, 0), (3, 3, 0)]);
}

#[test]
fn a_rollout_that_does_not_work_stops() {
    let mut world = rolled_out(json!({}));
    world.patch(Kind::DEPLOYMENT, "web-app", image(2));
    world.settle();
    assert_eq!(world.sizes(), [(3, 3, 3), (1, 1, 0)]);
    let due = world.next.unwrap();
    world.wait(600);
    world.settle();
    assert!(condition(&world, "Progressing").contains("ReplicaSetUpdated"), "the last second counts");
    world.now = due;
    world.settle();
    let said = condition(&world, "Progressing");
    assert!(said.starts_with("False ProgressDeadlineExceeded ReplicaSet \"web-app-"), "{said}");
    assert!(said.ends_with("\" has timed out progressing."), "{said}");
    assert_eq!(world.sizes(), [(3, 3, 3), (1, 1, 0)]);
    // Undone, it is complete again at once.
    world.patch(Kind::DEPLOYMENT, "web-app", image(1));
    world.patch(
        Kind::DEPLOYMENT,
        "web-app",
        json!({"spec": {"template": {"spec": {"containers": [{
        "name": "web-app", "image": "my-web-app:1", "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}}}}),
    );
    world.finish();
    assert_eq!(world.sizes(), [(3, 3, 3), (0, 0, 0)]);
    assert!(condition(&world, "Progressing").starts_with("True NewReplicaSetAvailable"));
}

#[test]
fn undo_gives_an_old_set_a_new_revision() {
    let mut world = rolled_out(json!({}));
    let first = world.object(Kind::DEPLOYMENT, "web-app")["spec"]["template"].clone();
    for tag in [2, 3] {
        world.patch(Kind::DEPLOYMENT, "web-app", image(tag));
        world.finish();
    }
    world.patch(Kind::DEPLOYMENT, "web-app", json!({"spec": {"template": first}}));
    world.finish();
    let mut revisions: Vec<_> = world
        .world
        .replica_sets
        .values()
        .map(|set| {
            let annotations = set.metadata.annotations.clone().unwrap();
            let of = |key: &str| annotations.get(key).cloned().unwrap_or_default();
            (of(revision::REVISION), of("deployment.kubernetes.io/revision-history"), replicas(set))
        })
        .collect();
    revisions.sort();
    let expected =
        [("2", "", 0), ("3", "", 0), ("4", "1", 3)].map(|(r, h, n)| (r.to_owned(), h.to_owned(), n));
    assert_eq!(revisions, expected);
    let annotations = &world.object(Kind::DEPLOYMENT, "web-app")["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "4");
}

#[test]
fn history_is_limited() {
    let mut world = rolled_out(json!({"spec": {"revisionHistoryLimit": 2}}));
    for tag in 2..7 {
        world.patch(Kind::DEPLOYMENT, "web-app", image(tag));
        world.finish();
    }
    let mut kept: Vec<_> = world.world.replica_sets.values().map(|set| revision::of(&set.metadata)).collect();
    kept.sort_unstable();
    assert_eq!(kept, [4, 5, 6]);
}

#[test]
fn paused() {
    let mut world = rolled_out(json!({}));
    world.patch(Kind::DEPLOYMENT, "web-app", json!({"spec": {"paused": true}}));
    world.patch(Kind::DEPLOYMENT, "web-app", image(2));
    world.finish();
    assert_eq!(world.sizes(), [(3, 3, 3)]);
    assert_eq!(condition(&world, "Progressing"), "Unknown DeploymentPaused Deployment is paused");
    assert_eq!(status(&world)["observedGeneration"], json!(3));
    world.patch(Kind::DEPLOYMENT, "web-app", json!({"spec": {"replicas": 4}}));
    world.finish();
    assert_eq!(world.sizes(), [(4, 4, 4)]);
    world.patch(Kind::DEPLOYMENT, "web-app", json!({"spec": {"paused": null}}));
    world.finish();
    assert_eq!(world.sizes(), [(0, 0, 0), (4, 4, 4)]);
    assert!(condition(&world, "Progressing").starts_with("True NewReplicaSetAvailable"));
}

#[test]
fn resized_in_the_middle_of_a_rollout() {
    let mut world = rolled_out(
        json!({"spec": {"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}}}),
    );
    world.patch(Kind::DEPLOYMENT, "web-app", image(2));
    world.settle();
    assert_eq!(world.sizes(), [(8, 8, 8), (5, 5, 0)]);
    world.patch(Kind::DEPLOYMENT, "web-app", json!({"spec": {"replicas": 15}}));
    world.turn();
    // As Kubernetes' documentation has it: 8 + 3 and 5 + 2.
    assert_eq!(world.sizes().iter().map(|s| s.0).collect::<Vec<_>>(), [11, 7]);
}

#[test]
fn waits_for_min_ready_seconds() {
    let mut world = TestWorld::with_nodes(3);
    world.deployment(json!({"spec": {"minReadySeconds": 20}}));
    world.settle();
    world.nodes_work();
    world.settle();
    assert_eq!(world.sizes(), [(3, 3, 0)]);
    assert_eq!(status(&world)["readyReplicas"], json!(3));
    assert_eq!(world.next, Some(world.now.plus(std::time::Duration::from_secs(20))));
    world.wait(20);
    world.settle();
    assert_eq!(world.sizes(), [(3, 3, 3)]);
    assert!(condition(&world, "Progressing").starts_with("True NewReplicaSetAvailable"));
}

#[test]
fn a_taken_name_counts_as_a_collision() {
    let mut world = TestWorld::with_nodes(1);
    world.deployment(json!({}));
    world.settle();
    let name = world.world.replica_sets.keys().next().unwrap().name.clone();
    let mut other = TestWorld::with_nodes(1);
    other.put(
        Kind::REPLICA_SET,
        json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "other"}},
                     "template": {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": []}}},
        }),
    );
    other.deployment(json!({}));
    other.settle();
    assert_eq!(status(&other)["collisionCount"], json!(1));
    assert_eq!(other.world.replica_sets.len(), 2);
    assert_eq!(other.pods("web-app").len(), 3);
}

#[test]
fn orphans_are_adopted_and_strangers_released() {
    let mut world = rolled_out(json!({}));
    let name = world.world.replica_sets.keys().next().unwrap().name.clone();
    // As after `kubectl delete deployment --cascade=orphan` and a new apply.
    world.patch(Kind::REPLICA_SET, &name, json!({"metadata": {"ownerReferences": null}}));
    world.settle();
    let owner = &world.object(Kind::REPLICA_SET, &name)["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], world.object(Kind::DEPLOYMENT, "web-app")["metadata"]["uid"]);
    assert_eq!(world.pods("web-app").len(), 3);
    world.patch(Kind::REPLICA_SET, &name, json!({"metadata": {"labels": {"app": "mine"}}}));
    world.finish();
    assert!(world.object(Kind::REPLICA_SET, &name)["metadata"]["ownerReferences"].is_null());
}

#[derive(Debug, Clone)]
enum Step {
    Image(u32),
    Resize(i32),
    /// The pods at these places are worked on by their nodes.
    Work(Vec<prop::sample::Index>),
    Turn,
}

fn step() -> impl Strategy_<Value = Step> {
    prop_oneof![
        1 => (1_u32..4).prop_map(Step::Image),
        1 => (0_i32..8).prop_map(Step::Resize),
        4 => prop::collection::vec(any::<prop::sample::Index>(), 1..4).prop_map(Step::Work),
        2 => Just(Step::Turn),
    ]
}

fn available(world: &TestWorld) -> i32 {
    let pods = world.pods("web-app");
    meta::count(pods.iter().filter(|p| meta::is_active(p) && meta::is_ready(p)).count())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever users and nodes do: never more pods than the size and the surge, never too few available by the
    /// controllers' own doing, the same decision twice, and at the end all is rolled out and nothing is left to do.
    #[test]
    fn rollouts_keep_their_promises(
        replicas in 1_i32..7, surge in 0_i32..3, unavailable in 0_i32..3,
        steps in prop::collection::vec(step(), 1..25),
    ) {
        prop_assume!(surge + unavailable > 0);
        let mut world = TestWorld::with_nodes(2);
        world.deployment(json!({"spec": {
            "replicas": replicas, "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}}));
        for step in steps {
            // Shrinking in mid-rollout is shared out over the ReplicaSets by size alone, as in Kubernetes, and so may
            // take pods that are available.
            let resized = matches!(step, Step::Resize(_));
            match step {
                Step::Image(tag) => world.patch(Kind::DEPLOYMENT, "web-app", image(tag)),
                Step::Resize(size) => world.patch(Kind::DEPLOYMENT, "web-app", json!({"spec": {"replicas": size}})),
                Step::Work(places) => for place in places {
                    let pods = world.pods("web-app");
                    if !pods.is_empty() {
                        let pod = pods[place.index(pods.len())].clone();
                        world.node_works(&pod);
                    }
                },
                Step::Turn => {}
            }
            let before = available(&world);
            let (one, two) = (world.clone().decide(), world.clone().decide());
            prop_assert_eq!(one, two);
            world.turn();
            let deployment = &world.world.deployments[&key()];
            let strategy = Strategy::of(deployment);
            let pods = world.pods("web-app");
            let total = meta::count(pods.iter().filter(|p| meta::is_active(p)).count());
            prop_assert!(total <= strategy.max_replicas(), "{} pods of {:?}", total, strategy);
            let after = available(&world);
            prop_assert!(resized || after >= before.min(strategy.min_available()), "{} of {} available, {:?}", after, before, strategy);
            world.wait(1);
        }
        world.finish();
        let size = world.world.deployments[&key()].spec.replicas.unwrap();
        prop_assert_eq!(available(&world), size);
        prop_assert_eq!(world.world.pods.len(), usize::try_from(size).unwrap());
        prop_assert_eq!(world.decide().changes, vec![]);
    }
}
