#[path = "manifest_test.rs"]
mod manifest;
#[path = "owner_test.rs"]
mod owner;

use std::fmt::Write as _;

use gannet_protocols_model::{ConfigBlob, Manifest, Network, NodeName};
use serde_json::{Value, json};

use super::{ClusterNetwork, NodeDocuments, compile, touched};
use crate::{Kind, ObjectKey, World};

fn world(objects: &[Value]) -> World {
    let mut world = World::default();
    for object in objects {
        put(&mut world, object);
    }
    world
}

fn put(world: &mut World, object: &Value) -> (&'static Kind, ObjectKey) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let kind = Kind::of(&text(&object["apiVersion"]), &text(&object["kind"])).unwrap();
    let key = ObjectKey::new(&text(&object["metadata"]["namespace"]), &text(&object["metadata"]["name"]));
    world.apply(kind, &key, Some(object.to_string().as_bytes())).unwrap();
    (kind, key)
}

fn node(name: &str, n: u8, site: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"gannet.dev/site": site}},
        "spec": {"podCIDR": format!("10.42.{n}.0/24")},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("192.0.2.{n}")}]}})
}

fn pod(name: &str, node: &str, spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "web:v1", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": "10.42.9.9", "conditions": [{"type": "Ready", "status": "True"}]}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn service(spec: Value) -> Value {
    let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.43.0.10", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}});
    for (key, value) in spec.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    service
}

/// A document set as text: entries, manifests, network.
fn render(docs: &NodeDocuments) -> String {
    let mut out = String::new();
    for pod in &docs.pods {
        let _ = writeln!(out, "pod {} {} {:?} {:?}", pod.uid, pod.name, pod.fields, pod.stop_within_seconds);
        let manifest = Manifest::parse(&docs.blobs[&pod.manifest]).unwrap();
        let _ = writeln!(out, "{}", serde_json::to_string(&manifest.containers).unwrap());
        let _ = writeln!(out, "{}", serde_json::to_string(&manifest.volumes).unwrap());
        for blob in manifest.blobs() {
            assert!(docs.blobs.contains_key(&blob), "blob {blob} is not in the closure");
        }
    }
    for (pod, misfit) in &docs.misfits {
        let _ = writeln!(out, "misfit {:?} {misfit}", pod.metadata.name);
    }
    let network = Network::parse(&docs.blobs[&docs.network]).unwrap();
    let _ = writeln!(out, "{}", serde_json::to_string(&network.services).unwrap());
    let _ = writeln!(out, "{}", serde_json::to_string(&network.routes).unwrap());
    out
}

fn check(objects: &[Value], expect: &[&str], absent: &[&str]) {
    let node: NodeName = "n1".parse().unwrap();
    let docs = compile(&world(objects), &ClusterNetwork::default(), &node);
    let text = render(&docs);
    for part in expect {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    for part in absent {
        assert!(!text.contains(part), "{part}\nis in\n{text}");
    }
    assert_eq!(
        docs.content(&node),
        compile(&world(objects), &ClusterNetwork::default(), &node).content(&node)
    );
}

#[test]
fn pods_of_one_spec_share_a_manifest() {
    let n1: NodeName = "n1".parse().unwrap();
    let world = world(&[
        node("n1", 1, ""),
        pod("a", "n1", json!({})),
        pod("b", "n1", json!({})),
        pod("c", "n2", json!({})),
    ]);
    let docs = compile(&world, &ClusterNetwork::default(), &n1);
    assert_eq!(docs.pods.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(docs.pods[0].manifest, docs.pods[1].manifest);
    assert_eq!(docs.blobs.len(), 2, "one manifest and the network");
}

#[test]
fn secrets_stay_out_of_the_manifest_and_with_their_node() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, "data": {"password": "aHVudGVyMg=="}});
    let env = json!({"containers": [{"name": "c", "image": "web:v1", "env": [
        {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}]}]});
    let objects = [node("n1", 1, ""), node("n2", 2, ""), secret, pod("a", "n1", env)];
    check(&objects, &[r#""value":{"key":{"blob""#], &["hunter2", "aHVudGVyMg"]);
    let world = world(&objects);
    let blob = ConfigBlob::new([("password".to_owned(), b"hunter2".to_vec())]).digest();
    for (name, has) in [("n1", true), ("n2", false)] {
        let docs = compile(&world, &ClusterNetwork::default(), &name.parse().unwrap());
        assert_eq!(docs.blobs.contains_key(&blob), has, "{name}");
    }
}

#[test]
fn what_is_missing_is_named_and_what_is_optional_is_left_out() {
    let env = |optional: bool| {
        json!({"containers": [{"name": "c", "image": "web:v1",
            "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k", "optional": optional}}}],
            "envFrom": [{"secretRef": {"name": "se", "optional": optional}}]}],
            "volumes": [{"name": "v", "configMap": {"name": "cm", "optional": optional}}]})
    };
    let missing = [
        r#"{"missing":"configmap \"cm\" not found"}"#,
        r#"{"missing":"secret \"se\" not found"}"#,
        r#""missing":"configmap \"cm\" not found""#,
    ];
    check(&[node("n1", 1, ""), pod("a", "n1", env(false))], &missing, &[]);
    check(&[node("n1", 1, ""), pod("a", "n1", env(true))], &[], &["missing"]);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "namespace": "default"}, "data": {"other": "v"}});
    check(
        &[node("n1", 1, ""), map, pod("a", "n1", env(false))],
        &["couldn't find key k in ConfigMap default/cm"],
        &[],
    );
}

#[test]
fn fields_that_only_the_hub_knows_stand_in_the_entry() {
    let env = json!({"containers": [{"name": "c", "image": "web:v1", "env": [
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}]});
    check(
        &[node("n1", 1, ""), pod("a", "n1", env)],
        &[r#"{"metadata.labels['app']": "web"}"#, r#"{"field":"metadata.name"}"#],
        &[],
    );
}

#[test]
fn a_pod_being_deleted_is_stopped() {
    let mut deleted = pod("a", "n1", json!({"terminationGracePeriodSeconds": 7}));
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(
        &[node("n1", 1, ""), deleted, service(json!({}))],
        &["pod uid-a a {} Some(7)", r#""backends":[]"#],
        &[],
    );
}

#[test]
fn a_wrong_image_name_is_a_misfit_and_harms_no_other_pod() {
    let wrong = json!({"containers": [{"name": "c", "image": "Not An Image"}]});
    check(
        &[node("n1", 1, ""), pod("a", "n1", wrong), pod("b", "n1", json!({}))],
        &["misfit Some(\"a\") InvalidImageName", "pod uid-b"],
        &[],
    );
}

#[test]
fn services_name_local_pods_by_uid_and_neighbours_by_address() {
    let objects = [
        node("n1", 1, "shop"),
        node("n2", 2, "shop"),
        node("n3", 3, "other"),
        pod("a", "n1", json!({})),
        pod("b", "n2", json!({})),
        pod("c", "n3", json!({})),
        service(json!({"type": "LoadBalancer"})),
    ];
    check(
        &objects,
        &[
            r#"{"pod":"uid-a","ports":[8080]}"#,
            r#"{"pod":"uid-b","remote":"10.42.9.9","ports":[8080]}"#,
            r#""kind":"LoadBalancer","cluster_ip":"10.43.0.10""#,
            r#"{"node":"n2","address":"192.0.2.2","pod_cidr":"10.42.2.0/24"}"#,
        ],
        &["uid-c", "192.0.2.3"],
    );
}

#[test]
fn services_of_others_are_not_told() {
    check(
        &[node("n1", 1, ""), node("n2", 2, ""), pod("b", "n2", json!({})), service(json!({}))],
        &["[]"],
        &["uid-b", "10.43"],
    );
    check(
        &[node("n1", 1, ""), pod("a", "n1", json!({})), service(json!({"selector": {"app": "none"}}))],
        &[r#""backends":[]"#],
        &[],
    );
    check(
        &[node("n1", 1, ""), pod("a", "n1", json!({})), service(json!({"clusterIP": "None"}))],
        &[r#""kind":"ClusterIP","ports""#],
        &["cluster_ip"],
    );
}

#[test]
fn a_change_touches_its_nodes_alone() {
    let objects = [
        node("n1", 1, "s"),
        node("n2", 2, "s"),
        node("n3", 3, ""),
        pod("a", "n1", json!({})),
        pod("c", "n3", json!({})),
    ];
    let before = world(&objects);
    let nodes = |object: Value| -> String {
        let mut after = before.clone();
        let (kind, key) = put(&mut after, &object);
        touched(&before, &after, kind, &key).iter().map(|n| n.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(nodes(pod("c", "n3", json!({"hostname": "x"}))), "n3");
    assert_eq!(nodes(pod("a", "n1", json!({"hostname": "x"}))), "n1 n2");
    assert_eq!(nodes(service(json!({}))), "n1 n2 n3");
    assert_eq!(
        nodes(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "other"}})
        ),
        ""
    );
    assert_eq!(
        nodes(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "default"}, "spec": {"selector": {}, "template": {}}})
        ),
        ""
    );
}

/// The whole of what a node gets for a small fleet, as text. After a wanted change: `GANNET_GOLDEN=write cargo test`.
#[test]
fn golden() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, "data": {"k": "dg=="}});
    let full = json!({
        "terminationGracePeriodSeconds": 10, "restartPolicy": "OnFailure", "hostname": "h", "subdomain": "web",
        "volumes": [{"name": "s", "secret": {"secretName": "s", "defaultMode": 256}}, {"name": "e", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        "containers": [{
            "name": "c", "image": "127.0.0.1:5000/web:v1", "command": ["/web"], "args": ["$(A)"], "workingDir": "/",
            "env": [{"name": "A", "value": "1"}, {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
            "volumeMounts": [{"name": "s", "mountPath": "/s", "readOnly": true}],
            "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
            "livenessProbe": {"exec": {"command": ["/web", "check"]}}}]});
    let world = world(&[
        node("n1", 1, "shop"),
        node("n2", 2, "shop"),
        secret,
        pod("a", "n1", full),
        pod("b", "n2", json!({})),
        service(json!({"type": "LoadBalancer"})),
    ]);
    let text = render(&compile(&world, &ClusterNetwork::default(), &"n1".parse().unwrap()));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/compile/golden.txt");
    if std::env::var_os("GANNET_GOLDEN").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}

#[test]
fn binary_data_is_for_files_alone() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "namespace": "default"},
        "data": {"text": "t"}, "binaryData": {"bin": "AAEC"}});
    let spec = json!({"containers": [{"name": "c", "image": "web:v1",
        "env": [{"name": "B", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "bin"}}}],
        "envFrom": [{"configMapRef": {"name": "cm"}}]}],
        "volumes": [{"name": "v", "configMap": {"name": "cm"}}]});
    let objects = [node("n1", 1, ""), map, pod("a", "n1", spec)];
    check(&objects, &["couldn't find key bin in ConfigMap default/cm"], &[]);
    let docs = compile(&world(&objects), &ClusterNetwork::default(), &"n1".parse().unwrap());
    let (text, bin) = (("text".to_owned(), b"t".to_vec()), ("bin".to_owned(), vec![0, 1, 2]));
    for (what, blob) in
        [("variables", ConfigBlob::new([text.clone()])), ("files", ConfigBlob::new([text, bin]))]
    {
        assert!(docs.blobs.contains_key(&blob.digest()), "{what}");
    }
}
