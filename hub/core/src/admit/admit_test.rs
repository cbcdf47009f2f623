//! Each row changes one place of an object that is right, and names all that is wrong then.

use gannet_protocols_model::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{Kind, ObjectKey, World};

#[path = "filling_test.rs"]
mod filling;
#[path = "kinds_test.rs"]
mod kinds;
#[path = "pod/annotations_test.rs"]
mod pod_annotations;
#[path = "pod/container_test.rs"]
mod pod_container;
#[path = "pod/handler_test.rs"]
mod pod_handler;
#[path = "pod/resize_test.rs"]
mod pod_resize;
#[path = "pod/resources_test.rs"]
mod pod_resources;
#[path = "pod/security_test.rs"]
mod pod_security;
#[path = "pod/spec_test.rs"]
mod pod_spec;
#[path = "pod/unsupported_test.rs"]
mod pod_unsupported;
#[path = "pod/update_test.rs"]
mod pod_update;
#[path = "pod/volume_test.rs"]
mod pod_volume;
#[path = "pod_test.rs"]
mod pods;
#[path = "properties_test.rs"]
mod properties;

fn world() -> World {
    let mut world = World::default();
    let mut put = |kind: &'static Kind, object: Value| {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = ObjectKey::new(&text("namespace"), &text("name"));
        world.apply(kind, &key, Some(object.to_string().as_bytes())).unwrap();
    };
    put(Kind::NAMESPACE, json!({"metadata": {"name": "default"}, "status": {"phase": "Active"}}));
    put(Kind::NAMESPACE, json!({"metadata": {"name": "leaving"}, "status": {"phase": "Terminating"}}));
    put(
        Kind::SERVICE,
        json!({"metadata": {"name": "first", "namespace": "default"}, "spec": {"clusterIP": "10.43.0.10", "ports": [{"port": 80, "nodePort": 30000}]}}),
    );
    world
}

const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

fn create(kind: &'static Kind, object: Value) -> Result<Admitted, Rejected> {
    let world = world();
    admit_create(AdmitContext { world: &world, now: NOW }, kind, object)
}

fn update(kind: &'static Kind, old: &Value, new: Value) -> Result<Admitted, Rejected> {
    let world = world();
    admit_update(AdmitContext { world: &world, now: NOW }, kind, old, new)
}

/// An object of the kind that is right.
fn right(kind: &'static Kind) -> Value {
    let pod_spec = json!({
        "containers": [{"name": "a", "image": "web:1", "ports": [{"containerPort": 80}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    });
    let workload = json!({
        "selector": {"matchLabels": {"app": "x"}},
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": pod_spec},
    });
    let mut object = match kind.kind {
        "Pod" => json!({"spec": pod_spec}),
        "Deployment" | "ReplicaSet" => json!({"spec": workload}),
        "Service" => json!({"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}),
        "Secret" => json!({"data": {"k": "dg=="}}),
        "ConfigMap" => json!({"data": {"k": "v"}}),
        "Event" => json!({"involvedObject": {"namespace": "default"}}),
        "EndpointSlice" => {
            json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.42.0.2"]}], "ports": [{"port": 80}]})
        }
        "Endpoints" => json!({"subsets": [{"addresses": [{"ip": "10.42.0.2"}], "ports": [{"port": 80}]}]}),
        "Lease" => json!({"spec": {"leaseDurationSeconds": 10}}),
        _ => json!({}),
    };
    object["metadata"] = json!({"name": "x"});
    if kind.is_namespaced() {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

/// Sets a place (`/spec/containers/0/image`), making structs on the way.
fn put(object: &mut Value, place: &str, value: Value) {
    let mut at = object;
    for step in place.split('/').skip(1).map(|s| s.replace("~1", "/")) {
        at = match step.parse::<usize>() {
            Ok(index) if at.is_array() => {
                let list = at.as_array_mut().unwrap();
                if list.len() == index {
                    list.push(json!({}));
                }
                &mut list[index]
            }
            _ => at.as_object_mut().unwrap().entry(step).or_insert_with(|| json!({})),
        };
    }
    *at = value;
}

fn errors_of(result: &Result<Admitted, Rejected>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(rejected) if rejected.fields().is_empty() => vec![rejected.to_string()],
        Err(rejected) => rejected.fields().iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn check(kind: &'static Kind, place: &str, value: Value, expected: &[&str]) {
    let mut object = right(kind);
    put(&mut object, place, value.clone());
    assert_eq!(errors_of(&create(kind, object)), expected, "{place} = {value}");
}

/// A place in a pod's spec, what is put there, and what is wrong then: paths without the `spec.` in front.
type PodRow<'a> = (&'a str, Value, &'a [&'a str]);

#[track_caller]
fn check_pod(rows: &[PodRow<'_>]) {
    for (place, value, expected) in rows {
        let expected: Vec<String> = expected.iter().map(|e| format!("spec.{e}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(Kind::POD, &format!("/spec{place}"), value.clone(), &expected);
    }
}

#[track_caller]
fn check_warnings(kind: &'static Kind, place: &str, value: Value, expected: &[&str]) {
    let mut object = right(kind);
    put(&mut object, place, value.clone());
    assert_eq!(create(kind, object).unwrap().warnings, expected, "{place} = {value}");
}

#[track_caller]
fn check_update(kind: &'static Kind, place: &str, value: Value, expected: &[&str]) {
    let old = create(kind, right(kind)).unwrap().object;
    let mut new = old.clone();
    put(&mut new, place, value.clone());
    assert_eq!(errors_of(&update(kind, &old, new)), expected, "{place} = {value}");
}

#[test]
fn right_objects() {
    for kind in crate::KINDS {
        let admitted = create(kind, right(kind));
        assert_eq!(errors_of(&admitted), Vec::<String>::new(), "{}", kind.kind);
        let admitted = admitted.unwrap();
        assert_eq!(admitted.warnings, Vec::<String>::new(), "{}", kind.kind);
        // Defaults of defaults are the same, and an update that changes nothing changes nothing.
        let again = update(kind, &admitted.object, admitted.object.clone()).unwrap();
        assert_eq!(again.object, admitted.object, "{}", kind.kind);
        let bare = update(kind, &admitted.object, right(kind)).unwrap();
        if kind.kind != "Node" {
            assert_eq!(bare.object, admitted.object, "{}", kind.kind);
        }
    }
}

#[test]
fn metadata() {
    const LABEL: &str = "must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let config = Kind::CONFIG_MAP;
    check(
        config,
        "/metadata/name",
        json!("A"),
        &[&format!("metadata.name: Invalid value: \"A\": {SUBDOMAIN}")],
    );
    check(
        config,
        "/metadata/name",
        json!("a..b"),
        &[&format!("metadata.name: Invalid value: \"a..b\": {SUBDOMAIN}")],
    );
    check(
        config,
        "/metadata/name",
        json!("a".repeat(254)),
        &[&format!("metadata.name: Invalid value: \"{}\": must be no more than 253 bytes", "a".repeat(254))],
    );
    check(
        config,
        "/metadata/name",
        json!(""),
        &["metadata.name: Required value: name or generateName is required"],
    );
    check(config, "/metadata/name", json!("a.b-c.1"), &[]);
    check(config, "/metadata/namespace", json!("nowhere"), &["namespaces \"nowhere\" not found"]);
    check(
        config,
        "/metadata/namespace",
        json!("leaving"),
        &["unable to create new content in namespace leaving because it is being terminated"],
    );
    check(config, "/metadata/namespace", json!(""), &["metadata.namespace: Required value"]);
    check(
        Kind::NODE,
        "/metadata/namespace",
        json!("default"),
        &["metadata.namespace: Forbidden: not allowed on this type"],
    );
    check(
        Kind::NAMESPACE,
        "/metadata/name",
        json!("a.b"),
        &[&format!("metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label {LABEL}")],
    );
    check(
        Kind::SERVICE,
        "/metadata/name",
        json!("1st"),
        &[
            "metadata.name: Invalid value: \"1st\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
    check(
        config,
        "/metadata/labels",
        json!({"bad key": "v"}),
        &[&format!("metadata.labels: Invalid value: \"bad key\": {QUALIFIED}")],
    );
    check(config, "/metadata/labels", json!({"example.com/a": "b", "c": ""}), &[]);
    check(
        config,
        "/metadata/labels",
        json!({"/a": "b"}),
        &["metadata.labels: Invalid value: \"/a\": prefix part must be non-empty"],
    );
    check(
        config,
        "/metadata/labels",
        json!({"EX/a": "b"}),
        &[&format!("metadata.labels: Invalid value: \"EX/a\": prefix part {SUBDOMAIN}")],
    );
    check(
        config,
        "/metadata/labels",
        json!({"a": "b c"}),
        &[
            "metadata.labels: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ],
    );
    check(
        config,
        "/metadata/annotations",
        json!({"a": "x".repeat(256 << 10)}),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    check(
        config,
        "/metadata/annotations",
        json!({"a b": ""}),
        &[&format!("metadata.annotations: Invalid value: \"a b\": {QUALIFIED}")],
    );
    check(
        config,
        "/metadata/finalizers",
        json!(["mine"]),
        &[
            "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    );
    check(config, "/metadata/finalizers", json!(["example.com/mine", "orphan"]), &[]);
    check(
        config,
        "/metadata/ownerReferences",
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "u"}]),
        &["metadata.ownerReferences[0].name: Invalid value: \"\": name must not be empty"],
    );
    check_update(
        config,
        "/metadata/name",
        json!("y"),
        &["metadata.name: Invalid value: \"y\": field is immutable"],
    );
    check_update(config, "/metadata/labels", json!({"a": "b"}), &[]);
}

#[test]
fn messages() {
    let mut object = right(Kind::DEPLOYMENT);
    put(&mut object, "/spec/replicas", json!(-1));
    let one = create(Kind::DEPLOYMENT, object.clone()).unwrap_err();
    assert_eq!(
        one.message(Kind::DEPLOYMENT, "x"),
        "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    assert_eq!((one.code(), one.reason(), one.fields()[0].reason()), (422, "Invalid", "FieldValueInvalid"));
    put(&mut object, "/spec/minReadySeconds", json!(-2));
    let two = create(Kind::DEPLOYMENT, object).unwrap_err().message(Kind::DEPLOYMENT, "x");
    assert!(
        two.starts_with("Deployment.apps \"x\" is invalid: [spec.replicas: ") && two.ends_with(']'),
        "{two}"
    );
    let mut pod = right(Kind::POD);
    put(&mut pod, "/metadata/namespace", json!("leaving"));
    let gone = create(Kind::POD, pod).unwrap_err();
    assert_eq!(
        gone.message(Kind::POD, "x"),
        "pods \"x\" is forbidden: unable to create new content in namespace leaving because it is being terminated"
    );
    assert_eq!(create(Kind::POD, json!([])).unwrap_err().code(), 400);
}
