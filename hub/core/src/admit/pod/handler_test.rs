//! Probes and hooks.

use super::*;

#[test]
fn probes() {
    let probe = |more: Value| {
        let mut probe = json!({"exec": {"command": ["x"]}});
        probe.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        probe
    };
    check_pod(&[
        ("/containers/0/livenessProbe", json!({"grpc": {"port": 9000}}), &[]),
        ("/containers/0/livenessProbe", json!({"grpc": {"port": 9000, "service": "s"}}), &[]),
        (
            "/containers/0/livenessProbe",
            json!({"grpc": {"port": 0}}),
            &[
                "containers[0].livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            "/containers/0/livenessProbe",
            json!({"grpc": {}}),
            &[
                "containers[0].livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        ("/containers/0/readinessProbe", json!({"httpGet": {"port": 80, "scheme": "HTTPS"}}), &[]),
        (
            "/containers/0/readinessProbe",
            json!({"httpGet": {"port": 80, "scheme": "FTP"}}),
            &[
                "containers[0].readinessProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
            ],
        ),
        (
            "/containers/0/readinessProbe",
            json!({"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": "c"}]}}),
            &[
                "containers[0].readinessProbe.httpGet.httpHeaders[0].name: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
            ],
        ),
        (
            "/containers/0/startupProbe",
            json!({"exec": {}}),
            &["containers[0].startupProbe.exec.command: Required value"],
        ),
        ("/containers/0/livenessProbe", probe(json!({"terminationGracePeriodSeconds": 5})), &[]),
        (
            "/containers/0/livenessProbe",
            probe(json!({"terminationGracePeriodSeconds": 0})),
            &[
                "containers[0].livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
            ],
        ),
        (
            "/containers/0/readinessProbe",
            probe(json!({"terminationGracePeriodSeconds": 5})),
            &[
                "containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
            ],
        ),
        (
            "/containers/0/startupProbe",
            probe(json!({"successThreshold": 3})),
            &["containers[0].startupProbe.successThreshold: Invalid value: 3: must be 1"],
        ),
        ("/containers/0/readinessProbe", probe(json!({"successThreshold": 3})), &[]),
        (
            "/containers/0/livenessProbe",
            json!({"exec": {"command": ["x"]}, "httpGet": {"port": 1}, "grpc": {"port": 1}}),
            &[
                "containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
                "containers[0].livenessProbe.grpc: Forbidden: may not specify more than 1 handler type",
            ],
        ),
    ]);
}

#[test]
fn hooks() {
    check_pod(&[
        ("/containers/0/lifecycle", json!({"postStart": {"exec": {"command": ["x"]}}}), &[]),
        ("/containers/0/lifecycle", json!({"preStop": {"httpGet": {"port": 80}}}), &[]),
        ("/containers/0/lifecycle", json!({"preStop": {"sleep": {"seconds": 30}}}), &[]),
        ("/containers/0/lifecycle", json!({"preStop": {"sleep": {"seconds": 0}}}), &[]),
        (
            "/containers/0/lifecycle",
            json!({"preStop": {"sleep": {"seconds": 31}}}),
            &[
                "containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
            ],
        ),
        (
            "/containers/0/lifecycle",
            json!({"postStart": {"sleep": {"seconds": -1}}}),
            &[
                "containers[0].lifecycle.postStart.sleep: Invalid value: -1: must be non-negative and less than terminationGracePeriodSeconds (30)",
            ],
        ),
        (
            "/containers/0/lifecycle",
            json!({"preStop": {}}),
            &["containers[0].lifecycle.preStop: Required value: must specify a handler type"],
        ),
        (
            "/containers/0/lifecycle",
            json!({"preStop": {"exec": {"command": []}}}),
            &["containers[0].lifecycle.preStop.exec.command: Required value"],
        ),
        (
            "/containers/0/lifecycle",
            json!({"preStop": {"exec": {"command": ["x"]}, "sleep": {"seconds": 1}}}),
            &["containers[0].lifecycle.preStop.sleep: Forbidden: may not specify more than 1 handler type"],
        ),
        (
            "/containers/0/lifecycle",
            json!({"stopSignal": "SIGUSR1"}),
            &[
                "containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
            ],
        ),
    ]);
    let mut pod = right(Kind::POD);
    put(&mut pod, "/spec/os", json!({"name": "linux"}));
    put(&mut pod, "/spec/containers/0/lifecycle", json!({"stopSignal": "SIGUSR1"}));
    assert_eq!(errors_of(&create(Kind::POD, pod.clone())), Vec::<String>::new());
    put(&mut pod, "/spec/containers/0/lifecycle", json!({"stopSignal": "USR1"}));
    let errors = errors_of(&create(Kind::POD, pod));
    let expected = "spec.containers[0].lifecycle.stopSignal: Unsupported value: \"USR1\": supported values: \"SIGABRT\", \"SIGALRM\"";
    assert!(errors.len() == 1 && errors[0].starts_with(expected), "{errors:?}");
}
