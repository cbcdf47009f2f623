//! Deployments, services and the other kinds.

use super::*;

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
