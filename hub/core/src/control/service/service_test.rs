use serde_json::{Value, json};

use crate::control::meta;
use crate::control::test_world::{TestWorld, merge};
use crate::{Kind, ObjectKey};

fn service(patch: Value) -> TestWorld {
    let mut world = TestWorld::with_nodes(3);
    let mut service = json!({
        "metadata": {"name": "web", "labels": {"team": "a"}},
        "spec": {"type": "ClusterIP", "clusterIP": "10.43.0.9", "selector": {"app": "web-app"},
                 "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}]},
    });
    merge(&mut service, patch);
    world.put(Kind::SERVICE, service);
    world.deployment(json!({}));
    world.settle();
    world
}

fn slices(world: &TestWorld) -> Vec<Value> {
    world.world.endpoint_slices.values().map(|slice| serde_json::to_value(slice.as_ref()).unwrap()).collect()
}

fn addresses(world: &TestWorld, list: &str) -> usize {
    let subsets = world.object(Kind::ENDPOINTS, "web")["subsets"].clone();
    subsets.as_array().into_iter().flatten().map(|s| s[list].as_array().map_or(0, Vec::len)).sum()
}

#[test]
fn ready_pods_answer() {
    let mut world = service(json!({}));
    assert_eq!(world.object(Kind::ENDPOINTS, "web")["subsets"], Value::Null);
    let pods = world.pods("web-app");
    world.report(&pods[0], true);
    world.report(&pods[1], false);
    world.settle();
    let endpoints = world.object(Kind::ENDPOINTS, "web");
    assert_eq!(endpoints["metadata"]["labels"]["team"], "a");
    let subset = &endpoints["subsets"][0];
    assert_eq!(subset["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    let pod = world.object(Kind::POD, pods[0].metadata.name.as_ref().unwrap());
    assert_eq!(
        subset["addresses"],
        json!([{"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": {
            "kind": "Pod", "namespace": "default", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}}])
    );
    assert_eq!(addresses(&world, "notReadyAddresses"), 1);

    let slices = slices(&world);
    assert_eq!(slices.len(), 1);
    let slice = &slices[0];
    assert!(slice["metadata"]["name"].as_str().unwrap().starts_with("web-"));
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"team": "a", "kubernetes.io/service-name": "web",
               "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"})
    );
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
    assert_eq!(slice["addressType"], "IPv4");
    let ready: Vec<_> =
        slice["endpoints"].as_array().unwrap().iter().map(|e| e["conditions"]["ready"].clone()).collect();
    assert_eq!(ready.iter().filter(|r| **r == true).count(), 1);
    assert_eq!(ready.len(), 2);
}

#[test]
fn a_pod_on_its_way_out_serves_no_more() {
    let mut world = service(json!({}));
    world.nodes_work();
    world.settle();
    assert_eq!(addresses(&world, "addresses"), 3);
    let pod = world.pods("web-app")[0].clone();
    world.delete(Kind::POD, &meta::key(&pod.metadata));
    world.settle();
    assert_eq!((addresses(&world, "addresses"), addresses(&world, "notReadyAddresses")), (2, 0));
    let slice = slices(&world).remove(0);
    let leaving = slice["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["conditions"]["terminating"] == true)
        .unwrap();
    assert_eq!(leaving["conditions"], json!({"ready": false, "serving": true, "terminating": true}));
}

#[test]
fn the_node_of_a_pod_falls_silent_and_comes_back() {
    let mut world = service(json!({"spec": {"type": "LoadBalancer"}}));
    world.nodes_work();
    world.settle();
    let ips = |world: &TestWorld| {
        world.object(Kind::SERVICE, "web")["status"]["loadBalancer"]["ingress"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((addresses(&world, "addresses"), ips(&world)), (3, 3));
    let node = |world: &TestWorld| world.world.nodes[&ObjectKey::new("", "n1")].clone();
    let down = crate::control::node_down(&node(&world), "the agent stopped reporting", world.now);
    world.apply(down);
    world.settle();
    assert_eq!(
        (addresses(&world, "addresses"), addresses(&world, "notReadyAddresses"), ips(&world)),
        (2, 1, 2)
    );
    assert_eq!(world.pods("web-app").len(), 3, "nothing is evicted");
    let held = world.pods("web-app").into_iter().find(|pod| meta::node_name(pod) == Some("n1")).unwrap();
    let ready = meta::condition(&held, "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("False", Some("NodeNotReady")));
    let up = crate::control::node_up(&node(&world), world.now);
    world.apply(up);
    world.settle();
    assert_eq!((addresses(&world, "addresses"), ips(&world)), (3, 3));
}

#[test]
fn load_balancers_without_pods_stand_on_every_ready_node() {
    let mut world = TestWorld::with_nodes(2);
    world.node(
        "n8",
        json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}),
    );
    world.node("n9", json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
    world.put(Kind::SERVICE, json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "selector": {"a": "b"}, "ports": [{"port": 80}]}}));
    world.settle();
    let expected: Vec<_> = ["n1", "n2"]
        .map(|name| world.object(Kind::NODE, name)["status"]["addresses"][0]["address"].clone())
        .map(|ip| json!({"ip": ip, "ipMode": "VIP"}))
        .into();
    assert_eq!(world.object(Kind::SERVICE, "web")["status"]["loadBalancer"]["ingress"], json!(expected));
    world.patch(Kind::SERVICE, "web", json!({"spec": {"type": "ClusterIP"}}));
    world.settle();
    assert_eq!(world.object(Kind::SERVICE, "web")["status"]["loadBalancer"], json!({}));
}

#[test]
fn headless_and_published_early() {
    let mut world =
        service(json!({"spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "ports": null}}));
    let pods = world.pods("web-app");
    world.report(&pods[0], false);
    world.settle();
    let endpoints = world.object(Kind::ENDPOINTS, "web");
    assert_eq!(endpoints["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    assert_eq!(endpoints["subsets"][0]["ports"], Value::Null);
    assert_eq!(addresses(&world, "addresses"), 1);
    let conditions = slices(&world)[0]["endpoints"][0]["conditions"].clone();
    assert_eq!(conditions, json!({"ready": true, "serving": false, "terminating": false}));
}

#[test]
fn services_without_a_selector_are_left_alone() {
    let mut world = TestWorld::with_nodes(1);
    world.put(Kind::SERVICE, json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}));
    let mine = json!({"metadata": {"name": "web"}, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]});
    world.put(Kind::ENDPOINTS, mine);
    let before = world.object(Kind::ENDPOINTS, "web");
    world.settle();
    assert_eq!(world.object(Kind::ENDPOINTS, "web"), before);
    world.delete(Kind::SERVICE, &ObjectKey::new("default", "web"));
    world.settle();
    assert!(world.find(Kind::ENDPOINTS, "web").is_some());
}

#[test]
fn a_service_takes_its_lists_along() {
    let mut world = service(json!({}));
    world.nodes_work();
    world.settle();
    world.delete(Kind::SERVICE, &ObjectKey::new("default", "web"));
    world.settle();
    assert!(world.world.endpoints.is_empty() && world.world.endpoint_slices.is_empty());
}

#[test]
fn slices_hold_a_hundred_and_change_little() {
    let mut world = TestWorld::with_nodes(3);
    world.deployment(json!({"spec": {"replicas": 250}}));
    world.patch(
        Kind::DEPLOYMENT,
        "web-app",
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
    );
    world.put(Kind::SERVICE, json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web-app"}, "ports": [{"port": 80}]}}));
    world.finish();
    let lengths = |world: &TestWorld| -> Vec<usize> {
        let mut lengths: Vec<_> =
            slices(world).iter().map(|s| s["endpoints"].as_array().map_or(0, Vec::len)).collect();
        lengths.sort_unstable();
        lengths
    };
    assert_eq!(lengths(&world), [50, 100, 100]);
    let pod = world.pods("web-app")[7].clone();
    world.report(&pod, false);
    let changed = world
        .decide()
        .changes
        .iter()
        .filter(
            |change| matches!(change, crate::Change::Update { kind, .. } if **kind == *Kind::ENDPOINT_SLICE),
        )
        .count();
    assert_eq!(changed, 1);
    world.patch(Kind::DEPLOYMENT, "web-app", json!({"spec": {"replicas": 0}}));
    world.finish();
    assert_eq!(lengths(&world), [0]);
}
