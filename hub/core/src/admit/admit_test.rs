//! Each row changes one place of an object that is right, and names all that is wrong then.

use gannet_protocols_model::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{Kind, ObjectKey, World};

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
fn deployments() {
    let kind = Kind::DEPLOYMENT;
    check(
        kind,
        "/spec/replicas",
        json!(-1),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        kind,
        "/spec/minReadySeconds",
        json!(-1),
        &["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        kind,
        "/spec/minReadySeconds",
        json!(600),
        &["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    );
    check(
        kind,
        "/spec/revisionHistoryLimit",
        json!(-1),
        &["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(kind, "/spec/selector", json!(null), &["spec.selector: Required value"]);
    check(
        kind,
        "/spec/selector",
        json!({}),
        &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    );
    check(
        kind,
        "/spec/selector/matchLabels",
        json!({"app": "y"}),
        &[
            "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
        ],
    );
    check(
        kind,
        "/spec/selector/matchExpressions",
        json!([{"key": "app", "operator": "In", "values": ["x", "y"]}]),
        &[],
    );
    check(
        kind,
        "/spec/selector/matchExpressions",
        json!([{"key": "app", "operator": "In"}]),
        &[
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ],
    );
    check(
        kind,
        "/spec/selector/matchExpressions",
        json!([{"key": "app", "operator": "Like"}]),
        &[
            "spec.selector.matchExpressions[0].operator: Invalid value: \"Like\": not a valid selector operator",
        ],
    );
    check(kind, "/spec/template", json!(null), &["spec.template: Required value"]);
    check(
        kind,
        "/spec/strategy/type",
        json!("Slow"),
        &[
            "spec.strategy.type: Unsupported value: \"Slow\": supported values: \"Recreate\", \"RollingUpdate\"",
        ],
    );
    check(
        kind,
        "/spec/strategy",
        json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
        &["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    );
    check(
        kind,
        "/spec/strategy/rollingUpdate",
        json!({"maxSurge": 0, "maxUnavailable": "0%"}),
        &[
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
        ],
    );
    check(
        kind,
        "/spec/strategy/rollingUpdate/maxUnavailable",
        json!("101%"),
        &[
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
        ],
    );
    check(
        kind,
        "/spec/strategy/rollingUpdate/maxSurge",
        json!("some"),
        &[
            "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"some\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ],
    );
    check(
        kind,
        "/spec/template/spec/restartPolicy",
        json!("Never"),
        &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
    );
    check(
        kind,
        "/spec/template/spec/containers/0/image",
        json!(""),
        &["spec.template.spec.containers[0].image: Required value"],
    );
    check_update(
        kind,
        "/spec/selector/matchLabels",
        json!({"app": "x", "b": "c"}),
        &[
            "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
            "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\",\"b\":\"c\"}}: field is immutable",
        ],
    );
    check_update(kind, "/spec/template/spec/containers/0/image", json!("web:2"), &[]);
    check(
        Kind::REPLICA_SET,
        "/spec/replicas",
        json!(-2),
        &["spec.replicas: Invalid value: -2: must be greater than or equal to 0"],
    );
}

#[test]
fn pods() {
    let kind = Kind::POD;
    let supported = |path: &str, value: &str, values: &str| {
        format!("{path}: Unsupported value: {value:?}: supported values: {values}")
    };
    check(kind, "/spec", json!({}), &["spec.containers: Required value"]);
    check(kind, "/spec/containers/0/name", json!(""), &["spec.containers[0].name: Required value"]);
    check(
        kind,
        "/spec/containers/1",
        json!({"name": "a", "image": "b"}),
        &["spec.containers[1].name: Duplicate value: \"a\""],
    );
    check(
        kind,
        "/spec/initContainers",
        json!([{"name": "a", "image": "b"}]),
        &["spec.initContainers[0].name: Duplicate value: \"a\""],
    );
    check(
        kind,
        "/spec/containers/0/image",
        json!(" web"),
        &["spec.containers[0].image: Invalid value: \" web\": must not have leading or trailing whitespace"],
    );
    check(kind, "/spec/containers/0/image", json!("Not//An::Image"), &[]);
    check(
        kind,
        "/spec/containers/0/imagePullPolicy",
        json!("Sometimes"),
        &[&supported(
            "spec.containers[0].imagePullPolicy",
            "Sometimes",
            "\"Always\", \"IfNotPresent\", \"Never\"",
        )],
    );
    check(
        kind,
        "/spec/restartPolicy",
        json!("Foo"),
        &[&supported("spec.restartPolicy", "Foo", "\"Always\", \"OnFailure\", \"Never\"")],
    );
    check(
        kind,
        "/spec/terminationGracePeriodSeconds",
        json!(-1),
        &[
            "spec.terminationGracePeriodSeconds: Invalid value: -1: must be between 0 and 4294967295, inclusive",
        ],
    );
    check(
        kind,
        "/spec/hostname",
        json!("a.b"),
        &[
            "spec.hostname: Invalid value: \"a.b\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
    check(
        kind,
        "/spec/containers/0/ports/0",
        json!({"containerPort": 70000}),
        &[
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    );
    check(
        kind,
        "/spec/containers/0/ports/0",
        json!({}),
        &["spec.containers[0].ports[0].containerPort: Required value"],
    );
    check(
        kind,
        "/spec/containers/0/ports",
        json!([{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]),
        &["spec.containers[0].ports[1].name: Duplicate value: \"a\""],
    );
    check(
        kind,
        "/spec/containers/0/ports/0/name",
        json!("80"),
        &["spec.containers[0].ports[0].name: Invalid value: \"80\": must contain at least one letter (a-z)"],
    );
    check(
        kind,
        "/spec/containers/0/ports",
        json!([{"containerPort": 1, "hostPort": 8080}, {"containerPort": 2, "hostPort": 8080}]),
        &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//8080\""],
    );
    check(
        kind,
        "/spec/containers/0/env",
        json!([{"value": "x"}]),
        &["spec.containers[0].env[0].name: Required value"],
    );
    check(
        kind,
        "/spec/containers/0/env",
        json!([{"name": "a=b"}]),
        &[
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
        ],
    );
    check(
        kind,
        "/spec/containers/0/env",
        json!([{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        &[
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ],
    );
    check(
        kind,
        "/spec/containers/0/env",
        json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}]),
        &[],
    );
    check(
        kind,
        "/spec/containers/0/env",
        json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
        &[&supported(
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
            "spec.x",
            "\"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
        )],
    );
    check(
        kind,
        "/spec/containers/0/env",
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
        &["spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value"],
    );
    check(
        kind,
        "/spec/containers/0/envFrom",
        json!([{}]),
        &[
            "spec.containers[0].envFrom[0]: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
        ],
    );
    check(
        kind,
        "/spec/containers/0/volumeMounts/0/name",
        json!("x"),
        &["spec.containers[0].volumeMounts[0].name: Not found: \"x\""],
    );
    check(
        kind,
        "/spec/containers/0/volumeMounts/0/mountPath",
        json!(""),
        &["spec.containers[0].volumeMounts[0].mountPath: Required value"],
    );
    check(
        kind,
        "/spec/containers/0/volumeMounts/1",
        json!({"name": "v", "mountPath": "/v"}),
        &["spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique"],
    );
    check(
        kind,
        "/spec/containers/0/volumeMounts/0/subPath",
        json!("a/../b"),
        &["spec.containers[0].volumeMounts[0].subPath: Invalid value: \"a/../b\": must not contain '..'"],
    );
    check(
        kind,
        "/spec/containers/0/volumeMounts/0/subPath",
        json!("/a"),
        &["spec.containers[0].volumeMounts[0].subPath: Invalid value: \"/a\": must be a relative path"],
    );
    check(kind, "/spec/volumes/1", json!({"name": "v"}), &["spec.volumes[1].name: Duplicate value: \"v\""]);
    check(
        kind,
        "/spec/volumes/1",
        json!({"name": "w", "emptyDir": {}, "hostPath": {"path": "/x"}}),
        &["spec.volumes[1].hostPath: Forbidden: may not specify more than 1 volume type"],
    );
    check(
        kind,
        "/spec/volumes/1",
        json!({"name": "w", "hostPath": {"path": "/x/../y"}}),
        &["spec.volumes[1].hostPath.path: Invalid value: \"/x/../y\": must not contain '..'"],
    );
    check(
        kind,
        "/spec/volumes/1",
        json!({"name": "w", "secret": {"secretName": "s", "defaultMode": 0o1000}}),
        &[
            "spec.volumes[1].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ],
    );
    check(
        kind,
        "/spec/volumes/1",
        json!({"name": "w", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}),
        &["spec.volumes[1].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'"],
    );
    check(
        kind,
        "/spec/containers/0/resources",
        json!({"limits": {"cpu": "lots"}}),
        &[
            "spec.containers[0].resources.limits[cpu]: Invalid value: \"lots\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"lots\": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ],
    );
    check(
        kind,
        "/spec/containers/0/resources",
        json!({"requests": {"memory": "-1Mi"}}),
        &[
            "spec.containers[0].resources.requests[memory]: Invalid value: \"-1Mi\": must be greater than or equal to 0",
        ],
    );
    check(
        kind,
        "/spec/containers/0/resources",
        json!({"limits": {"cpu": 1}, "requests": {"cpu": "2"}}),
        &[
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ],
    );
    check(
        kind,
        "/spec/containers/0/resources",
        json!({"requests": {"foo": "1"}}),
        &[
            "spec.containers[0].resources.requests[foo]: Forbidden: gannet cannot honour this field yet: it is not known",
            "spec.containers[0].resources.requests[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
            "spec.containers[0].resources.requests[foo]: Invalid value: \"foo\": must be a standard resource for containers",
        ],
    );
    check(
        kind,
        "/spec/containers/0/livenessProbe",
        json!({}),
        &["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
    );
    check(
        kind,
        "/spec/containers/0/livenessProbe",
        json!({"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
        &["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    );
    check(
        kind,
        "/spec/containers/0/livenessProbe",
        json!({"exec": {"command": ["x"]}, "successThreshold": 2}),
        &["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    );
    check(
        kind,
        "/spec/containers/0/readinessProbe",
        json!({"httpGet": {"port": 0}}),
        &[
            "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    );
    check(
        kind,
        "/spec/containers/0/readinessProbe",
        json!({"tcpSocket": {"port": "web"}, "periodSeconds": -1}),
        &[
            "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    check(
        kind,
        "/spec/containers/0/securityContext",
        json!({"runAsUser": -1}),
        &[
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ],
    );
    check(
        kind,
        "/spec/containers/0/securityContext",
        json!({"privileged": true, "allowPrivilegeEscalation": false}),
        &[
            "spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ],
    );
    check(kind, "/spec/nodeSelector", json!({"a": "b"}), &[]);
    check(
        kind,
        "/spec/tolerations",
        json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]),
        &[],
    );
    check(
        kind,
        "/spec/tolerations",
        json!([{"key": "a", "operator": "Exists", "value": "b"}]),
        &[
            "spec.tolerations[0].operator: Invalid value: \"Exists\": value must be empty when `operator` is 'Exists'",
        ],
    );
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let terms = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    check(
        kind,
        required,
        json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}),
        &[],
    );
    check(
        kind,
        required,
        json!({"nodeSelectorTerms": []}),
        &[&format!("{terms}: Required value: must have at least one node selector term")],
    );
    check(
        kind,
        required,
        json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}),
        &[&format!(
            "{terms}[0].matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator"
        )],
    );
    check_update(kind, "/spec/containers/0/image", json!("web:2"), &[]);
    check_update(kind, "/metadata/labels", json!({"a": "b"}), &[]);
    check_update(
        kind,
        "/spec/containers/1",
        json!({"name": "b", "image": "b"}),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    let old = create(kind, right(kind)).unwrap().object;
    let mut new = old.clone();
    put(&mut new, "/spec/containers/0/command", json!(["x"]));
    let message = errors_of(&update(kind, &old, new)).join("");
    assert!(
        message.starts_with(
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
        ),
        "{message}"
    );
}

#[test]
fn services() {
    let kind = Kind::SERVICE;
    check(kind, "/spec/ports", json!([]), &["spec.ports: Required value"]);
    check(
        kind,
        "/spec/ports/0/port",
        json!(0),
        &[
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    );
    check(
        kind,
        "/spec/ports",
        json!([{"port": 1}, {"port": 2, "name": "b"}]),
        &["spec.ports[0].name: Required value"],
    );
    check(
        kind,
        "/spec/ports",
        json!([{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]),
        &["spec.ports[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}"],
    );
    check(
        kind,
        "/spec/ports",
        json!([{"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}]),
        &[],
    );
    check(
        kind,
        "/spec/ports/0/nodePort",
        json!(30001),
        &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    );
    check(
        kind,
        "/spec",
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
        &[
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
        ],
    );
    check(
        kind,
        "/spec",
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000}]}),
        &["spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated"],
    );
    check(
        kind,
        "/spec/clusterIP",
        json!("10.43.0.10"),
        &[
            "spec.clusterIPs: Invalid value: [\"10.43.0.10\"]: failed to allocate IP 10.43.0.10: provided IP is already allocated",
        ],
    );
    check(
        kind,
        "/spec/clusterIP",
        json!("10.0.0.1"),
        &[
            "spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: failed to allocate IP 10.0.0.1: the provided IP (10.0.0.1) is not in the valid range. The range of valid IPs is 10.43.0.0/16",
        ],
    );
    check(
        kind,
        "/spec/clusterIP",
        json!("10.43.0.53"),
        &[
            "spec.clusterIPs: Invalid value: [\"10.43.0.53\"]: failed to allocate IP 10.43.0.53: provided IP is already allocated",
        ],
    );
    check(kind, "/spec/clusterIP", json!("None"), &[]);
    check(
        kind,
        "/spec/sessionAffinity",
        json!("Sticky"),
        &["spec.sessionAffinity: Unsupported value: \"Sticky\": supported values: \"ClientIP\", \"None\""],
    );
    check(
        kind,
        "/spec/type",
        json!("ExternalName"),
        &["spec.type: Forbidden: gannet cannot honour this field yet: there are no names for other names"],
    );
    check(
        kind,
        "/spec/externalIPs",
        json!(["1.2.3.4"]),
        &[
            "spec.externalIPs: Forbidden: gannet cannot honour this field yet: the service is at the addresses of the nodes",
        ],
    );
    check(
        kind,
        "/spec/ports/0/protocol",
        json!("SCTP"),
        &[
            "spec.ports[0].protocol: Forbidden: gannet cannot honour this field yet: protocols are TCP and UDP",
        ],
    );
    check(
        kind,
        "/spec/ipFamilies",
        json!(["IPv6"]),
        &["spec.ipFamilies: Forbidden: gannet cannot honour this field yet: services have IPv4 addresses"],
    );
    check_update(
        kind,
        "/spec/clusterIP",
        json!("10.43.0.99"),
        &["spec.clusterIPs[0]: Invalid value: [\"10.43.0.99\"]: may not change once set"],
    );
}

#[test]
fn others() {
    const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    check(Kind::SECRET, "/data", json!({"a b": ""}), &[&format!("data[a b]: Invalid value: \"a b\": {KEY}")]);
    check(Kind::SECRET, "/data", json!({"..": ""}), &["data[..]: Invalid value: \"..\": must not be '..'"]);
    check(
        Kind::SECRET,
        "/stringData",
        json!({"big": "x".repeat(1 << 20)}),
        &["data: Too long: may not be more than 1048576 bytes"],
    );
    check(
        Kind::SECRET,
        "/type",
        json!("kubernetes.io/tls"),
        &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    );
    check_update(
        Kind::SECRET,
        "/type",
        json!("other"),
        &["type: Invalid value: \"other\": field is immutable"],
    );
    check(
        Kind::CONFIG_MAP,
        "/data",
        json!({"a/b": ""}),
        &[&format!("data[a/b]: Invalid value: \"a/b\": {KEY}")],
    );
    check(
        Kind::CONFIG_MAP,
        "/binaryData",
        json!({"k": "dg=="}),
        &["data[k]: Invalid value: \"k\": duplicate of key present in binaryData"],
    );
    check(
        Kind::CONFIG_MAP,
        "/data",
        json!({"big": "x".repeat((1 << 20) + 1)}),
        &["[]: Too long: may not be more than 1048576 bytes"],
    );
    check(
        Kind::EVENT,
        "/involvedObject/namespace",
        json!("other"),
        &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
    );
    check(
        Kind::ENDPOINTS,
        "/subsets/0/addresses/0/ip",
        json!("x"),
        &[
            "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ],
    );
    check(Kind::ENDPOINT_SLICE, "/addressType", json!(""), &["addressType: Required value"]);
    check(
        Kind::ENDPOINT_SLICE,
        "/endpoints/0/addresses",
        json!([]),
        &["endpoints[0].addresses: Required value: must contain at least 1 endpoint"],
    );
    check(
        Kind::LEASE,
        "/spec/leaseDurationSeconds",
        json!(0),
        &["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    );
    check(
        Kind::NODE,
        "/spec/taints",
        json!([{"key": "a", "effect": "Never"}]),
        &[
            "spec.taints[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    check_warnings(
        Kind::NODE,
        "/spec/taints",
        json!([{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoSchedule"}]),
        &[
            "spec.taints[0].effect: gannet does not honour this field yet: taints keep new pods away, and move none",
        ],
    );
    let mut fixed = right(Kind::CONFIG_MAP);
    fixed["immutable"] = json!(true);
    let fixed = create(Kind::CONFIG_MAP, fixed).unwrap().object;
    let mut changed = fixed.clone();
    changed["data"]["k"] = json!("w");
    assert_eq!(
        errors_of(&update(Kind::CONFIG_MAP, &fixed, changed)),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
}

#[test]
fn what_pods_cannot_do_yet() {
    let kind = Kind::DEPLOYMENT;
    for (place, value, path) in [
        (
            "/volumes/1",
            json!({"name": "w", "persistentVolumeClaim": {"claimName": "c"}}),
            "volumes[1].persistentVolumeClaim",
        ),
        ("/volumes/1", json!({"name": "w", "downwardAPI": {}}), "volumes[1].downwardAPI"),
        ("/volumes/1", json!({"name": "w", "quobyte": {}}), "volumes[1].quobyte"),
        (
            "/volumes/1",
            json!({"name": "w", "emptyDir": {"medium": "HugePages"}}),
            "volumes[1].emptyDir.medium",
        ),
        ("/hostPID", json!(true), "hostPID"),
        ("/hostUsers", json!(false), "hostUsers"),
        ("/shareProcessNamespace", json!(true), "shareProcessNamespace"),
        ("/runtimeClassName", json!("kata"), "runtimeClassName"),
        ("/activeDeadlineSeconds", json!(5), "activeDeadlineSeconds"),
        ("/hostAliases", json!([{"ip": "1.2.3.4"}]), "hostAliases"),
        ("/dnsPolicy", json!("None"), "dnsPolicy"),
        ("/topologySpreadConstraints", json!([{}]), "topologySpreadConstraints"),
        (
            "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution",
            json!([{}]),
            "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        ),
        ("/securityContext/sysctls", json!([{}]), "securityContext.sysctls"),
        (
            "/securityContext/seccompProfile",
            json!({"type": "Localhost"}),
            "securityContext.seccompProfile.type",
        ),
        (
            "/containers/0/securityContext/seLinuxOptions",
            json!({"level": "x"}),
            "containers[0].securityContext.seLinuxOptions",
        ),
        ("/containers/0/lifecycle", json!({"preStop": {}}), "containers[0].lifecycle"),
        ("/containers/0/tty", json!(true), "containers[0].tty"),
        ("/containers/0/livenessProbe", json!({"grpc": {"port": 1}}), "containers[0].livenessProbe.grpc"),
        (
            "/containers/0/env",
            json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]),
            "containers[0].env[0].valueFrom.resourceFieldRef",
        ),
        (
            "/containers/0/resources/limits",
            json!({"nvidia.com/gpu": 1}),
            "containers[0].resources.limits[nvidia.com/gpu]",
        ),
        ("/containers/0/ports/0/protocol", json!("SCTP"), "containers[0].ports[0].protocol"),
        (
            "/containers/0/volumeMounts/0/mountPropagation",
            json!("Bidirectional"),
            "containers[0].volumeMounts[0].mountPropagation",
        ),
        (
            "/initContainers",
            json!([{"name": "i", "image": "i", "restartPolicy": "Always"}]),
            "initContainers[0].restartPolicy",
        ),
        ("/fieldOfTomorrow", json!("x"), "fieldOfTomorrow"),
    ] {
        let mut object = right(kind);
        put(&mut object, &format!("/spec/template/spec{place}"), value.clone());
        let errors = errors_of(&create(kind, object));
        let expected = format!("spec.template.spec.{path}: Forbidden: gannet cannot honour this field yet: ");
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{place} = {value}: {errors:?}");
    }
    let warned = |place: &str, value: Value, text: &str| {
        check_warnings(kind, &format!("/spec/template/spec{place}"), value, &[text])
    };
    warned(
        "/priorityClassName",
        json!("high"),
        "spec.template.spec.priorityClassName: gannet does not honour this field yet: all pods have the same priority",
    );
    warned(
        "/schedulerName",
        json!("mine"),
        "spec.template.spec.schedulerName: gannet does not honour this field yet: there is one scheduler",
    );
    warned(
        "/serviceAccountName",
        json!("robot"),
        "spec.template.spec.serviceAccountName: gannet does not honour this field yet: no token of the API is mounted into pods",
    );
    warned(
        "/imagePullSecrets",
        json!([{"name": "s"}]),
        "spec.template.spec.imagePullSecrets: gannet does not honour this field yet: gateways use the credentials of their own configuration",
    );
    warned(
        "/containers/0/resources/limits",
        json!({"ephemeral-storage": "1Gi"}),
        "spec.template.spec.containers[0].resources.limits[ephemeral-storage]: gannet does not honour this field yet: the size of what a container writes is not limited",
    );
    warned(
        "/containers/0/resources/limits",
        json!({"memory": "100m"}),
        "spec.template.spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
    );
    for (place, value) in [
        ("/hostPID", json!(false)),
        ("/schedulerName", json!("default-scheduler")),
        ("/tolerations", json!([])),
        ("/hostUsers", json!(true)),
        ("/automountServiceAccountToken", json!(false)),
    ] {
        check_warnings(kind, &format!("/spec/template/spec{place}"), value, &[]);
    }
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

#[test]
fn filled_in() {
    let deployment = create(
        Kind::DEPLOYMENT,
        json!({
            "apiVersion": "v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{
                        "name": "web", "image": "my-web-app:latest", "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}},
                        "livenessProbe": {"httpGet": {"port": 80}},
                    }]},
                },
            },
        }),
    );
    assert_eq!(
        deployment.unwrap().object,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default", "creationTimestamp": "2026-01-31T12:00:00Z", "generation": 1},
            "spec": {
                "replicas": 3, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                        "securityContext": {}, "schedulerName": "default-scheduler",
                        "containers": [{
                            "name": "web", "image": "my-web-app:latest", "imagePullPolicy": "Always",
                            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                            "ports": [{"containerPort": 80, "protocol": "TCP"}],
                            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                            "livenessProbe": {
                                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                            },
                        }],
                    },
                },
            },
            "status": {},
        })
    );
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/containers/0/resources", json!({"limits": {"cpu": 1, "memory": "1Gi"}}));
    let pod = create(Kind::POD, pod).unwrap().object;
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(pod["spec"]["enableServiceLinks"], true);
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
    let secret = create(
        Kind::SECRET,
        json!({"metadata": {"name": "s", "namespace": "default"}, "stringData": {"a": "hi"}}),
    )
    .unwrap()
    .object;
    assert_eq!(
        (&secret["type"], &secret["data"], &secret["stringData"]),
        (&json!("Opaque"), &json!({"a": "aGk="}), &json!(null))
    );
    let namespace = create(Kind::NAMESPACE, json!({"metadata": {"name": "n"}})).unwrap().object;
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(
        (&namespace["spec"], &namespace["status"]),
        (&json!({"finalizers": ["kubernetes"]}), &json!({"phase": "Active"}))
    );
}

#[test]
fn service_addresses() {
    let given = |spec: Value| {
        create(Kind::SERVICE, json!({"metadata": {"name": "s", "namespace": "default"}, "spec": spec}))
            .unwrap()
            .object["spec"]
            .clone()
    };
    let plain = given(json!({"ports": [{"port": 80}]}));
    assert_eq!(
        plain,
        json!({
            "type": "ClusterIP", "sessionAffinity": "None", "clusterIP": "10.43.0.11", "clusterIPs": ["10.43.0.11"],
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
        })
    );
    assert_eq!(given(json!({"clusterIP": "None"}))["clusterIPs"], json!(["None"]));
    assert_eq!(given(json!({"clusterIP": "10.43.7.7", "ports": [{"port": 80}]}))["clusterIP"], "10.43.7.7");
    let balanced = given(
        json!({"type": "LoadBalancer", "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b", "nodePort": 30001}, {"port": 82, "name": "c"}]}),
    );
    let node_ports: Vec<i64> =
        balanced["ports"].as_array().unwrap().iter().map(|p| p["nodePort"].as_i64().unwrap()).collect();
    assert_eq!(node_ports, [30002, 30001, 30003]);
    // An update that names neither keeps both; one that becomes ClusterIP gives the ports back.
    let old = create(Kind::SERVICE, json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}})).unwrap().object;
    let mut bare = right(Kind::SERVICE);
    put(&mut bare, "/metadata/name", json!("s"));
    put(&mut bare, "/spec", json!({"type": "NodePort", "ports": [{"port": 80}]}));
    let kept = update(Kind::SERVICE, &old, bare.clone()).unwrap().object;
    assert_eq!(
        (&kept["spec"]["clusterIP"], &kept["spec"]["ports"]),
        (&old["spec"]["clusterIP"], &old["spec"]["ports"])
    );
    let mut plain = old.clone();
    put(&mut plain, "/spec/type", json!("ClusterIP"));
    let plain = update(Kind::SERVICE, &old, plain).unwrap().object;
    assert_eq!(plain["spec"]["ports"], json!([{"port": 80, "targetPort": 80, "protocol": "TCP"}]));
}

#[test]
fn generations_and_status() {
    let old = create(Kind::DEPLOYMENT, right(Kind::DEPLOYMENT)).unwrap().object;
    let mut labelled = old.clone();
    put(&mut labelled, "/metadata/labels", json!({"a": "b"}));
    put(&mut labelled, "/metadata/uid", json!("mine"));
    put(&mut labelled, "/status", json!({"replicas": 9}));
    let labelled = update(Kind::DEPLOYMENT, &old, labelled).unwrap().object;
    assert_eq!(
        (&labelled["metadata"]["generation"], &labelled["metadata"]["uid"], &labelled["status"]),
        (&json!(1), &json!(null), &json!({}))
    );
    let mut scaled = old.clone();
    put(&mut scaled, "/spec/replicas", json!(5));
    assert_eq!(update(Kind::DEPLOYMENT, &old, scaled).unwrap().object["metadata"]["generation"], 2);
    let world = world();
    let cx = AdmitContext { world: &world, now: NOW };
    let status =
        admit_status(cx, Kind::DEPLOYMENT, &old, json!({"spec": {"replicas": 7}, "status": {"replicas": 3}}))
            .unwrap()
            .object;
    assert_eq!((&status["spec"]["replicas"], &status["status"]), (&json!(1), &json!({"replicas": 3})));
    let wrong = admit_status(cx, Kind::DEPLOYMENT, &old, json!({"status": {"replicas": -3}}));
    assert_eq!(errors_of(&wrong), ["status.replicas: Invalid value: -3: must be greater than or equal to 0"]);
    // A pod that a controller made without defaults can be labelled.
    let mut bare = right(Kind::POD);
    put(&mut bare, "/metadata/labels", json!({"a": "b"}));
    assert_eq!(errors_of(&update(Kind::POD, &right(Kind::POD), bare)), Vec::<String>::new());
    // What an object on its way out may not gain.
    let mut leaving = old.clone();
    put(&mut leaving, "/metadata/deletionTimestamp", json!("2026-01-31T12:00:00Z"));
    let mut held = leaving.clone();
    put(&mut held, "/metadata/finalizers", json!(["example.com/x"]));
    assert_eq!(
        errors_of(&update(Kind::DEPLOYMENT, &leaving, held)),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/x\"}"
        ]
    );
}
