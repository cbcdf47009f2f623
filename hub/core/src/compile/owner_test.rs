//! Who made a pod, and how long its versions may take.

use super::*;

fn reference(kind: &str, name: &str) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true}])
}

fn set(owner: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "default", "uid": "uid-web-1", "ownerReferences": owner},
        "spec": {"selector": {}}})
}

fn deployment(spec: Value) -> Value {
    let mut deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default", "uid": "uid-web"},
        "spec": {"selector": {}, "template": {}}});
    crate::control::test_world::merge(&mut deployment["spec"], spec);
    deployment
}

fn owned(owner: Value, deadline: Value) -> Value {
    let mut pod = pod("a", "n1", json!({}));
    pod["metadata"]["ownerReferences"] = owner;
    if !deadline.is_null() {
        pod["metadata"]["annotations"] = json!({"gannet.dev/progress-deadline": deadline});
    }
    pod
}

fn check_owner(objects: &[Value], name: Option<&str>, deadline: Option<u32>) {
    let docs = compile(&world(objects), &ClusterNetwork::default(), &"n1".parse().unwrap());
    let entry = &docs.pods[0];
    assert_eq!((entry.owner.as_deref(), entry.progress_deadline_seconds), (name, deadline), "{objects:?}");
}

#[test]
fn owners_and_deadlines() {
    let of_set = || owned(reference("ReplicaSet", "web-1"), json!(null));
    let of_deployment = || set(reference("Deployment", "web"));
    let web = Some("default/Deployment/web");
    check_owner(&[pod("a", "n1", json!({}))], None, None);
    check_owner(&[of_set(), of_deployment(), deployment(json!({}))], web, Some(600));
    check_owner(
        &[of_set(), of_deployment(), deployment(json!({"progressDeadlineSeconds": 30}))],
        web,
        Some(30),
    );
    check_owner(
        &[of_set(), of_deployment(), deployment(json!({"progressDeadlineSeconds": i32::MAX}))],
        web,
        None,
    );
    check_owner(&[of_set(), of_deployment()], web, None);
    let lone = Some("default/ReplicaSet/web-1");
    check_owner(&[of_set(), set(json!([]))], lone, None);
    check_owner(&[of_set()], lone, None);
    check_owner(&[owned(reference("DaemonSet", "logs"), json!(null))], Some("default/DaemonSet/logs"), None);
    // Of a set that was made anew by the same name the pod is not.
    let mut other = of_deployment();
    other["metadata"]["uid"] = json!("uid-other");
    check_owner(&[of_set(), other], lone, None);
    let annotated = |deadline: &str| owned(reference("ReplicaSet", "web-1"), json!(deadline));
    check_owner(&[annotated("90s"), of_deployment(), deployment(json!({}))], web, Some(90));
    check_owner(&[annotated("0"), of_deployment(), deployment(json!({}))], web, None);
    check_owner(&[annotated("soon"), of_deployment(), deployment(json!({}))], web, Some(600));
    check_owner(&[owned(json!([]), json!("5"))], None, Some(5));
    let mut uncontrolled = reference("ConfigMap", "m");
    uncontrolled[0]["controller"] = json!(false);
    check_owner(&[owned(uncontrolled, json!(null))], None, None);
}

#[test]
fn a_changed_owner_touches_its_pods_alone() {
    let mut other = pod("b", "n2", json!({}));
    other["metadata"]["ownerReferences"] = json!([]);
    let objects = [
        owned(reference("ReplicaSet", "web-1"), json!(null)),
        other,
        set(reference("Deployment", "web")),
        deployment(json!({})),
    ];
    let before = world(&objects);
    let nodes = |object: Value| -> String {
        let mut after = before.clone();
        let (kind, key) = put(&mut after, &object);
        touched(&before, &after, kind, &key).iter().map(|n| n.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(nodes(deployment(json!({"progressDeadlineSeconds": 5}))), "n1");
    assert_eq!(nodes(deployment(json!({"replicas": 5}))), "");
    assert_eq!(nodes(deployment(json!({"progressDeadlineSeconds": 600}))), "");
    assert_eq!(nodes(set(json!([]))), "n1");
    let mut scaled = set(reference("Deployment", "web"));
    scaled["spec"]["replicas"] = json!(3);
    assert_eq!(nodes(scaled), "");
}
