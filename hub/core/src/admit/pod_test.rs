//! What a pod may say.

use super::*;

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
        &[
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath: field label not supported: spec.x",
        ],
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
            "spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
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
