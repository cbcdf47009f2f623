use serde_json::json;

use super::*;

const NOW: &str = "2026-03-01T12:00:00Z";

/// Cells, with nothing for those that only `-o wide` shows, joined by a bar.
fn row(kind: &'static Kind, object: &Value, wide: bool) -> String {
    let cells = cells(kind, object, NOW.parse().unwrap());
    assert_eq!(cells.len(), columns(kind).len(), "{}", kind.kind);
    let shown = cells.iter().zip(columns(kind)).filter(|(_, c)| wide || c.priority == 0);
    shown
        .map(|(cell, _)| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
        .collect::<Vec<_>>()
        .join("|")
}

fn check(kind: &'static Kind, object: Value, expected: &str) {
    assert_eq!(row(kind, &object, false), expected, "{object}");
}

fn check_wide(kind: &'static Kind, object: Value, expected: &str) {
    assert_eq!(row(kind, &object, true), expected, "{object}");
}

#[test]
fn every_kind_has_as_many_cells_as_columns() {
    for kind in gannet_hub_core::KINDS.iter().chain(gannet_hub_core::MADE_KINDS) {
        row(kind, &json!({}), true);
        row(kind, &json!({"metadata": 1, "spec": [], "status": "x", "subsets": [1], "series": 3}), true);
    }
}

fn pod(status: Value) -> Value {
    json!({"metadata": {"name": "p", "creationTimestamp": "2026-03-01T11:59:00Z"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]}, "status": status})
}

#[test]
fn pod_status() {
    let running = |ready: bool| json!({"ready": ready, "restartCount": 0, "state": {"running": {}}});
    check(Kind::POD, pod(json!({"phase": "Pending"})), "p|0/2|Pending|0|60s");
    check(
        Kind::POD,
        pod(json!({"phase": "Running", "containerStatuses": [running(true), running(false)]})),
        "p|1/2|Running|0|60s",
    );
    check(
        Kind::POD,
        pod(json!({"phase": "Running", "containerStatuses": [
            {"ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-03-01T11:59:30Z"}}}, running(true)]})),
        "p|1/2|CrashLoopBackOff|3 (30s ago)|60s",
    );
    for (terminated, expected) in [
        (json!({"exitCode": 0, "reason": "Completed"}), "Completed"),
        (json!({"exitCode": 1, "reason": "Error"}), "Error"),
        (json!({"exitCode": 137, "reason": "OOMKilled"}), "OOMKilled"),
        (json!({"exitCode": 3}), "ExitCode:3"),
        (json!({"exitCode": 137, "signal": 9}), "Signal:9"),
    ] {
        check(
            Kind::POD,
            pod(json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": terminated}}]})),
            &format!("p|0/2|{expected}|0|60s"),
        );
    }
    check(
        Kind::POD,
        pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, running(true)]})),
        "p|1/2|NotReady|0|60s",
    );
    check(Kind::POD, pod(json!({"phase": "Failed", "reason": "Evicted"})), "p|0/2|Evicted|0|60s");
    check(
        Kind::POD,
        pod(
            json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}),
        ),
        "p|0/2|ErrImagePull|0|60s",
    );
}

#[test]
fn pod_with_init_containers() {
    let with_init = |status: Value| {
        let mut pod = pod(status);
        pod["spec"]["initContainers"] = json!([{"name": "i"}, {"name": "j"}]);
        pod
    };
    let done = json!({"name": "i", "state": {"terminated": {"exitCode": 0}}});
    check(
        Kind::POD,
        with_init(json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "state": {"running": {}}}, {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]})),
        "p|0/2|Init:0/2|0|60s",
    );
    check(
        Kind::POD,
        with_init(json!({"phase": "Pending", "initContainerStatuses": [
            done, {"name": "j", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]})),
        "p|0/2|Init:Error|0|60s",
    );
    check(
        Kind::POD,
        with_init(json!({"phase": "Pending", "initContainerStatuses": [
            done, {"name": "j", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})),
        "p|0/2|Init:CrashLoopBackOff|2|60s",
    );
    let mut sidecar = pod(json!({"phase": "Running",
        "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "state": {"running": {}}}],
        "containerStatuses": [{"ready": true, "state": {"running": {}}}, {"ready": true, "state": {"running": {}}}]}));
    sidecar["spec"]["initContainers"] = json!([{"name": "s", "restartPolicy": "Always"}]);
    check(Kind::POD, sidecar, "p|3/3|Running|0|60s");
}

#[test]
fn pod_being_deleted_and_wide() {
    let mut deleted = pod(json!({"phase": "Running", "podIP": "10.42.0.7",
        "conditions": [{"type": "g", "status": "True"}]}));
    deleted["metadata"]["deletionTimestamp"] = json!(NOW);
    deleted["spec"]["nodeName"] = json!("gateway-1");
    deleted["spec"]["readinessGates"] = json!([{"conditionType": "g"}, {"conditionType": "h"}]);
    check_wide(Kind::POD, deleted.clone(), "p|0/2|Terminating|0|60s|10.42.0.7|gateway-1|<none>|1/2");
    deleted["status"]["reason"] = json!("NodeLost");
    check(Kind::POD, deleted.clone(), "p|0/2|Unknown|0|60s");
    deleted["status"] = json!({"phase": "Succeeded"});
    check(Kind::POD, deleted, "p|0/2|Succeeded|0|60s");
}

#[test]
fn workloads() {
    let object = json!({"metadata": {"name": "web", "creationTimestamp": "2026-03-01T09:00:00Z"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "t", "operator": "In", "values": ["y", "x"]}, {"key": "n", "operator": "DoesNotExist"}]},
            "template": {"spec": {"containers": [{"name": "x", "image": "x:1"}, {"name": "y", "image": "y:2"}]}}},
        "status": {"replicas": 3, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}});
    check_wide(Kind::DEPLOYMENT, object.clone(), "web|1/3|2|1|3h|x,y|x:1,y:2|!n,a=1,b=2,t in (x,y)");
    check(Kind::REPLICA_SET, object, "web|3|3|1|3h");
}

#[test]
fn services() {
    let service =
        |spec: Value, status: Value| json!({"metadata": {"name": "s"}, "spec": spec, "status": status});
    check_wide(
        Kind::SERVICE,
        service(
            json!({"type": "ClusterIP", "clusterIP": "10.43.0.5", "selector": {"app": "web"},
            "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
            json!({}),
        ),
        "s|ClusterIP|10.43.0.5|<none>|80/TCP,53/UDP|<unknown>|app=web",
    );
    let balancer =
        json!({"type": "LoadBalancer", "clusterIP": "10.43.0.6", "ports": [{"port": 80, "nodePort": 30080}]});
    check(
        Kind::SERVICE,
        service(balancer.clone(), json!({})),
        "s|LoadBalancer|10.43.0.6|<pending>|80:30080/TCP|<unknown>",
    );
    check(
        Kind::SERVICE,
        service(balancer, json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}]}})),
        "s|LoadBalancer|10.43.0.6|10.0.0.1,10.0.0.2|80:30080/TCP|<unknown>",
    );
    check(
        Kind::SERVICE,
        service(json!({"type": "ExternalName", "externalName": "example.org"}), json!({})),
        "s|ExternalName|<none>|example.org|<none>|<unknown>",
    );
}

#[test]
fn endpoints() {
    check(
        Kind::ENDPOINTS,
        json!({"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 81}]}]}),
        "e|10.0.0.1:80,10.0.0.1:81,10.0.0.2:80 + 1 more...|<unknown>",
    );
    check(Kind::ENDPOINTS, json!({"metadata": {"name": "e"}}), "e|<none>|<unknown>");
    check(
        Kind::ENDPOINT_SLICE,
        json!({"metadata": {"name": "e"}, "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.0.0.1"]}]}),
        "e|IPv4|80|10.0.0.1|<unknown>",
    );
    check(Kind::ENDPOINT_SLICE, json!({"metadata": {"name": "e"}}), "e||<unset>|<unset>|<unknown>");
}

#[test]
fn nodes_and_namespaces() {
    check_wide(
        Kind::NODE,
        json!({"metadata": {"name": "g", "labels": {"node-role.kubernetes.io/edge": ""}}, "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "192.168.1.4"}],
            "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "gannet://0.1"}}}),
        "g|Ready,SchedulingDisabled|edge|<unknown>|v1|192.168.1.4|<none>|Debian|6.1|gannet://0.1",
    );
    for (status, expected) in [("False", "NotReady"), ("Unknown", "NotReady")] {
        check(
            Kind::NODE,
            json!({"metadata": {"name": "g"}, "status": {"conditions": [{"type": "Ready", "status": status}]}}),
            &format!("g|{expected}|<none>|<unknown>|"),
        );
    }
    check(
        Kind::NAMESPACE,
        json!({"metadata": {"name": "n"}, "status": {"phase": "Active"}}),
        "n|Active|<unknown>",
    );
}

#[test]
fn pods_that_were_ended_or_went_back() {
    let ended = json!([{"name": "a", "state": {"terminated": {"exitCode": 137, "reason": "Error"}}}]);
    check(
        Kind::POD,
        pod(json!({"phase": "Failed", "reason": "Evicted", "containerStatuses": ended})),
        "p|0/2|Evicted|0|60s",
    );
    let runs = json!([{"name": "a", "ready": true, "state": {"running": {}}}, {"name": "b", "ready": true, "state": {"running": {}}}]);
    check(
        Kind::POD,
        pod(json!({"phase": "Running", "reason": "RolledBack", "containerStatuses": runs})),
        "p|2/2|RolledBack|0|60s",
    );
}

#[test]
fn events_and_the_rest() {
    check_wide(
        Kind::EVENT,
        json!({"metadata": {"name": "p.1"}, "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
            "firstTimestamp": "2026-03-01T11:50:00Z", "lastTimestamp": "2026-03-01T11:59:00Z", "count": 4, "type": "Warning",
            "reason": "BackOff", "message": "no luck\n", "source": {"component": "agent", "host": "g"}}),
        "60s|Warning|BackOff|pod/p|spec.containers{a}|agent, g|no luck|10m|4|p.1",
    );
    check(Kind::LEASE, json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "g"}}), "l|g|<unknown>");
    check(
        Kind::CONFIG_MAP,
        json!({"metadata": {"name": "c"}, "data": {"a": "", "b": ""}, "binaryData": {"c": ""}}),
        "c|3|<unknown>",
    );
    check(
        Kind::SECRET,
        json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": ""}}),
        "s|Opaque|1|<unknown>",
    );
    check(Kind::SERVICE_ACCOUNT, json!({"metadata": {"name": "default"}}), "default|0|<unknown>");
}

#[test]
fn figures() {
    let usage = json!({"cpu": "1500000n", "memory": "64Ki", "ephemeral-storage": "8Ki"});
    check(
        Kind::NODE_METRICS,
        json!({"metadata": {"name": "g"}, "usage": usage, "window": "10s"}),
        "g|1500000n|64Ki|8Ki|10s",
    );
    check(
        Kind::POD_METRICS,
        json!({"metadata": {"name": "p"}, "containers": [{"name": "a", "usage": usage}, {"name": "b", "usage": usage}, {"usage": 1}],
            "window": "10s"}),
        "p|3000000n|128Ki|16Ki|10s",
    );
}
