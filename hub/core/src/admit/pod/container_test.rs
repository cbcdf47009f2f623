//! Containers by their role, their last words, their variables.

use super::*;

#[test]
fn init_containers_and_sidecars() {
    let init = |more: Value| {
        let mut container = json!({"name": "i", "image": "i"});
        container.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        json!([container])
    };
    let probe = json!({"exec": {"command": ["x"]}});
    let hook = json!({"preStop": {"exec": {"command": ["x"]}}});
    let not = |field: &str| {
        format!(
            "initContainers[0].{field}: Forbidden: may not be set for init containers without restartPolicy=Always"
        )
    };
    let (life, live, ready, start) =
        (not("lifecycle"), not("livenessProbe"), not("readinessProbe"), not("startupProbe"));
    check_pod(&[
        ("/initContainers", init(json!({})), &[]),
        ("/initContainers", init(json!({"restartPolicy": "Always"})), &[]),
        ("/initContainers", init(json!({"lifecycle": hook})), &[&life]),
        ("/initContainers", init(json!({"livenessProbe": probe})), &[&live]),
        ("/initContainers", init(json!({"readinessProbe": probe})), &[&ready]),
        ("/initContainers", init(json!({"startupProbe": probe})), &[&start]),
        (
            "/initContainers",
            init(
                json!({"restartPolicy": "Always", "lifecycle": hook, "livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe}),
            ),
            &[],
        ),
        (
            "/initContainers",
            init(json!({"restartPolicy": "Never"})),
            &["initContainers[0].restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
        ),
        (
            "/containers/0/restartPolicy",
            json!("Always"),
            &["containers[0].restartPolicy: Forbidden: may not be set for non-init containers"],
        ),
        (
            "/initContainers",
            init(
                json!({"ports": [{"containerPort": 1, "hostPort": 8080}, {"containerPort": 2, "hostPort": 8080}]}),
            ),
            &["initContainers[0].ports[1].hostPort: Duplicate value: \"TCP//8080\""],
        ),
    ]);
}

#[test]
fn last_words() {
    check_pod(&[
        ("/containers/0/terminationMessagePath", json!("/tmp/why"), &[]),
        (
            "/containers/0/terminationMessagePath",
            json!("why"),
            &["containers[0].terminationMessagePath: Invalid value: \"why\": must be an absolute path"],
        ),
        (
            "/containers/0/terminationMessagePath",
            json!("/a/../../b"),
            &["containers[0].terminationMessagePath: Invalid value: \"/a/../../b\": must not contain '..'"],
        ),
        ("/containers/0/terminationMessagePolicy", json!("FallbackToLogsOnError"), &[]),
        (
            "/containers/0/terminationMessagePolicy",
            json!("Log"),
            &[
                "containers[0].terminationMessagePolicy: Unsupported value: \"Log\": supported values: \"File\", \"FallbackToLogsOnError\"",
            ],
        ),
    ]);
}

#[test]
fn variables_from_resources() {
    let env = |reference: Value| json!([{"name": "A", "valueFrom": {"resourceFieldRef": reference}}]);
    let at = "containers[0].env[0].valueFrom.resourceFieldRef";
    let unsupported = format!(
        "{at}.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\""
    );
    let required = format!("{at}.resource: Required value");
    let cpu = format!(
        "{at}.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource"
    );
    let sizes = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    let memory = format!(
        "{at}.divisor: Invalid value: \"limits.memory\": only divisor's values {sizes} are supported with the memory resource"
    );
    let disk = format!(
        "{at}.divisor: Invalid value: \"requests.ephemeral-storage\": only divisor's values {sizes} are supported with the local ephemeral storage resource"
    );
    check_pod(&[
        ("/containers/0/env", env(json!({"resource": "limits.cpu"})), &[]),
        ("/containers/0/env", env(json!({"resource": "limits.cpu", "divisor": "1m"})), &[]),
        (
            "/containers/0/env",
            env(json!({"resource": "requests.memory", "divisor": "1Mi", "containerName": "a"})),
            &[],
        ),
        ("/containers/0/env", env(json!({"resource": "limits.gpu"})), &[&unsupported]),
        ("/containers/0/env", env(json!({})), &[&required]),
        ("/containers/0/env", env(json!({"resource": "limits.cpu", "divisor": "1k"})), &[&cpu]),
        ("/containers/0/env", env(json!({"resource": "limits.memory", "divisor": "5"})), &[&memory]),
        (
            "/containers/0/env",
            env(json!({"resource": "requests.ephemeral-storage", "divisor": "1m"})),
            &[&disk],
        ),
    ]);
}

#[test]
fn variables_from_fields() {
    let env = |path: &str| json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]);
    let at = "containers[0].env[0].valueFrom.fieldRef";
    let known = "\"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"";
    let labels = format!("{at}.fieldPath: Unsupported value: \"metadata.labels\": supported values: {known}");
    let phase = format!("{at}.fieldPath: Unsupported value: \"status.phase\": supported values: {known}");
    let subscript = format!(
        "{at}.fieldPath: Invalid value: \"spec.x['a']\": error converting fieldPath: field label does not support subscript: spec.x['a']"
    );
    let key = format!("{at}: Invalid value: \"/a\": prefix part must be non-empty");
    check_pod(&[
        ("/containers/0/env", env("status.podIP"), &[]),
        ("/containers/0/env", env("metadata.annotations['example.com/A']"), &[]),
        ("/containers/0/env", env("metadata.labels"), &[&labels]),
        ("/containers/0/env", env("status.phase"), &[&phase]),
        ("/containers/0/env", env("spec.x['a']"), &[&subscript]),
        ("/containers/0/env", env("metadata.labels['/a']"), &[&key]),
    ]);
}
