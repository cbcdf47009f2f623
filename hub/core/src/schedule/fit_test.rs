use serde_json::{Value, json};

use super::*;
use crate::control::test_world::merge;

fn check(pod: Value, node: Value, expected: &[&str]) {
    let mut spec =
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]});
    merge(&mut spec, pod.clone());
    let mut object = json!({
        "metadata": {"name": "n1", "labels": {"site": "north", "rack": "7"}},
        "status": {"allocatable": {"cpu": "2", "memory": "2Gi", "pods": "10"}, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    merge(&mut object, node.clone());
    let object: Node = serde_json::from_value(object).unwrap();
    let allocatable = crate::schedule::request::allocatable(&object);
    let mut free =
        NodeFree { node: &object, allocatable, used: Amounts::new(), pods: 0, ports: BTreeSet::new() };
    free.take(&Amounts::from([("cpu".to_owned(), 500)]), &BTreeSet::from([(80, "TCP".to_owned())]));
    let needs = Needs::of(&serde_json::from_value(spec).unwrap());
    assert_eq!(misfits(&needs, &free), expected, "pod {pod} on node {node}");
}

fn container(requests: Value, ports: Value) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": requests}, "ports": ports}]})
}

fn affinity(term: Value) -> Value {
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}})
}

#[test]
fn resources() {
    check(json!({}), json!({}), &[]);
    check(container(json!({"cpu": "1500m"}), json!([])), json!({}), &[]);
    check(container(json!({"cpu": "1501m"}), json!([])), json!({}), &["Insufficient cpu"]);
    check(
        container(json!({"cpu": "2", "memory": "3Gi"}), json!([])),
        json!({}),
        &["Insufficient cpu", "Insufficient memory"],
    );
    check(
        container(json!({"example.com/tpu": "1"}), json!([])),
        json!({}),
        &["Insufficient example.com/tpu"],
    );
    check(json!({}), json!({"status": {"allocatable": {"pods": "1"}}}), &["Too many pods"]);
    let taken = "node(s) didn't have free ports for the requested pod ports";
    check(container(json!({}), json!([{"containerPort": 8080, "hostPort": 80}])), json!({}), &[taken]);
    check(
        container(json!({}), json!([{"containerPort": 8080, "hostPort": 80, "protocol": "UDP"}])),
        json!({}),
        &[],
    );
    check(container(json!({}), json!([{"containerPort": 80}])), json!({}), &[]);
}

#[test]
fn nodes_that_take_none() {
    let cordoned = json!({"spec": {"unschedulable": true}});
    check(json!({}), cordoned.clone(), &["node(s) were unschedulable"]);
    check(json!({"tolerations": [{"operator": "Exists"}]}), cordoned, &[]);
    let silent = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    let everything = json!({"tolerations": [{"operator": "Exists"}]});
    check(
        everything.clone(),
        silent("Unknown"),
        &["node(s) had untolerated taint {node.kubernetes.io/unreachable: }"],
    );
    check(everything, silent("False"), &["node(s) had untolerated taint {node.kubernetes.io/not-ready: }"]);
    let tainted =
        |effect: &str| json!({"spec": {"taints": [{"key": "only", "value": "gpu", "effect": effect}]}});
    let untolerated = ["node(s) had untolerated taint {only: gpu}"];
    check(json!({}), tainted("NoSchedule"), &untolerated);
    check(json!({}), tainted("NoExecute"), &untolerated);
    check(json!({}), tainted("PreferNoSchedule"), &[]);
    check(json!({"tolerations": [{"key": "only", "value": "gpu"}]}), tainted("NoSchedule"), &[]);
    check(
        json!({"tolerations": [{"key": "only", "operator": "Exists", "effect": "NoSchedule"}]}),
        tainted("NoSchedule"),
        &[],
    );
    check(json!({"tolerations": [{"key": "only", "value": "cpu"}]}), tainted("NoSchedule"), &untolerated);
    check(
        json!({"tolerations": [{"key": "only", "value": "gpu", "effect": "NoExecute"}]}),
        tainted("NoSchedule"),
        &untolerated,
    );
}

#[test]
fn pressure() {
    let under = |condition: &str, status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": condition, "status": status}]}});
    let frugal = json!({"containers": [{"name": "c"}]});
    for (condition, key) in [
        ("MemoryPressure", "memory-pressure"),
        ("DiskPressure", "disk-pressure"),
        ("PIDPressure", "pid-pressure"),
        ("NetworkUnavailable", "network-unavailable"),
    ] {
        let untolerated = format!("node(s) had untolerated taint {{node.kubernetes.io/{key}: }}");
        check(frugal.clone(), under(condition, "True"), &[&untolerated]);
        check(frugal.clone(), under(condition, "False"), &[]);
        check(frugal.clone(), under(condition, "Unknown"), &[]);
        let asking = if condition == "MemoryPressure" { &[][..] } else { &[untolerated.as_str()][..] };
        check(json!({}), under(condition, "True"), asking);
        let tolerating = json!({"containers": [{"name": "c"}], "tolerations": [{"key": format!("node.kubernetes.io/{key}"), "operator": "Exists"}]});
        check(tolerating, under(condition, "True"), &[]);
    }
    check(frugal, under("DesiredRefused", "True"), &[]);
}

#[test]
fn devices_and_disk() {
    let gateway = |devices: &str| json!({"status": {"allocatable": {"devices.gannet.dev/modbus": devices, "ephemeral-storage": "1Gi"}}});
    let asks = |name: &str, amount: &str| json!({"containers": [{"name": "c", "resources": {"limits": {name: amount}, "requests": {name: amount}}}]});
    check(asks("devices.gannet.dev/modbus", "1"), gateway("1"), &[]);
    check(asks("devices.gannet.dev/modbus", "2"), gateway("1"), &["Insufficient devices.gannet.dev/modbus"]);
    check(asks("devices.gannet.dev/modbus", "1"), gateway("0"), &["Insufficient devices.gannet.dev/modbus"]);
    check(asks("devices.gannet.dev/modbus", "1"), json!({}), &["Insufficient devices.gannet.dev/modbus"]);
    check(asks("devices.gannet.dev/can", "1"), gateway("1"), &["Insufficient devices.gannet.dev/can"]);
    check(asks("ephemeral-storage", "1Gi"), gateway("1"), &[]);
    check(asks("ephemeral-storage", "1025Mi"), gateway("1"), &["Insufficient ephemeral-storage"]);
}

#[test]
fn ports_of_sidecars() {
    let port = json!([{"containerPort": 8080, "hostPort": 80}]);
    let taken = "node(s) didn't have free ports for the requested pod ports";
    let init =
        |policy: Value| json!({"initContainers": [{"name": "i", "ports": port, "restartPolicy": policy}]});
    check(init(json!("Always")), json!({}), &[taken]);
    check(init(json!(null)), json!({}), &[]);
}

#[test]
fn selection() {
    let no = ["node(s) didn't match Pod's node affinity/selector"];
    check(json!({"nodeSelector": {"site": "north"}}), json!({}), &[]);
    check(json!({"nodeSelector": {"site": "south"}}), json!({}), &no);
    let term = |key: &str, operator: &str, values: &[&str]| {
        affinity(json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}))
    };
    check(term("site", "In", &["south", "north"]), json!({}), &[]);
    check(term("site", "NotIn", &["north"]), json!({}), &no);
    check(term("rack", "Gt", &["6"]), json!({}), &[]);
    check(term("rack", "Lt", &["7"]), json!({}), &no);
    check(term("site", "Gt", &["6"]), json!({}), &no);
    check(term("zone", "DoesNotExist", &[]), json!({}), &[]);
    check(
        affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]})),
        json!({}),
        &[],
    );
    check(
        affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]})),
        json!({}),
        &no,
    );
    check(affinity(json!({})), json!({}), &no);
}
