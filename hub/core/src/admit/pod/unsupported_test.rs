//! What gannet cannot do yet is refused, or warned about, by name.

use super::*;

#[test]
fn what_pods_cannot_do_yet() {
    let kind = Kind::DEPLOYMENT;
    for (place, value, path) in [
        (
            "/volumes/1",
            json!({"name": "w", "persistentVolumeClaim": {"claimName": "c"}}),
            "volumes[1].persistentVolumeClaim",
        ),
        ("/volumes/1", json!({"name": "w", "quobyte": {}}), "volumes[1].quobyte"),
        (
            "/volumes/1",
            json!({"name": "w", "emptyDir": {"medium": "HugePages"}}),
            "volumes[1].emptyDir.medium",
        ),
        ("/runtimeClassName", json!("kata"), "runtimeClassName"),
        ("/topologySpreadConstraints", json!([{}]), "topologySpreadConstraints"),
        (
            "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution",
            json!([{}]),
            "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        ),
        (
            "/containers/0/securityContext/seLinuxOptions",
            json!({"level": "x"}),
            "containers[0].securityContext.seLinuxOptions",
        ),
        ("/containers/0/tty", json!(true), "containers[0].tty"),
        (
            "/containers/0/resources/limits",
            json!({"nvidia.com/gpu": 1}),
            "containers[0].resources.limits[nvidia.com/gpu]",
        ),
        ("/containers/0/ports/0/protocol", json!("SCTP"), "containers[0].ports[0].protocol"),
        (
            "/containers/0/volumeMounts/0",
            json!({"name": "v", "mountPath": "/v", "readOnly": true, "recursiveReadOnly": "Enabled"}),
            "containers[0].volumeMounts[0].recursiveReadOnly",
        ),
        (
            "/containers/0/lifecycle",
            json!({"postStart": {"tcpSocket": {"port": 1}}}),
            "containers[0].lifecycle.postStart.tcpSocket",
        ),
        (
            "/containers/0/livenessProbe",
            json!({"grpc": {"port": 1, "mode": "TLS"}}),
            "containers[0].livenessProbe.grpc.mode",
        ),
        (
            "/volumes/1",
            json!({"name": "w", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
            "volumes[1].projected.sources[0].serviceAccountToken",
        ),
        (
            "/volumes/1",
            json!({"name": "w", "downwardAPI": {"items": [{"path": "a", "user": 1, "fieldRef": {"fieldPath": "metadata.name"}}]}}),
            "volumes[1].downwardAPI.items[0].user",
        ),
        ("/ephemeralContainers", json!([{}]), "ephemeralContainers"),
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
        "spec.template.spec.priorityClassName: gannet does not honour this field yet: there is no such class, the priority is 0",
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
        json!({"memory": "100m"}),
        "spec.template.spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
    );
    warned(
        "/containers/0/resources/limits",
        json!({"ephemeral-storage": "100m"}),
        "spec.template.spec.containers[0].resources.limits[ephemeral-storage]: fractional byte value \"100m\" is invalid, must be an integer",
    );
    warned(
        "/containers/0/readinessProbe",
        json!({"httpGet": {"port": "web"}}),
        "spec.template.spec.containers[0].readinessProbe.httpGet.port: the container has no port of the name \"web\"",
    );
    for (place, value) in [
        ("/priorityClassName", json!("system-node-critical")),
        ("/hostPID", json!(false)),
        ("/schedulerName", json!("default-scheduler")),
        ("/tolerations", json!([])),
        ("/hostUsers", json!(true)),
        ("/automountServiceAccountToken", json!(false)),
    ] {
        check_warnings(kind, &format!("/spec/template/spec{place}"), value, &[]);
    }
}
