use gannet_protocols_model::NodeCondition;
use serde_json::{Value, json};

use super::*;
use crate::control::test_world::{START, TestWorld};

fn info() -> NodeInfo {
    NodeInfo {
        address: [192, 0, 2, 7].into(),
        hostname: "gateway-7".to_owned(),
        architecture: "arm64".to_owned(),
        kernel: "6.1.0".to_owned(),
        os_image: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        machine_id: "m".to_owned(),
        boot_id: "b".to_owned(),
        agent_version: "v0.1.0".to_owned(),
        cpu: CpuMillis(4000),
        memory: ByteSize(1 << 30),
        disk: ByteSize(8 << 30),
        cpu_reserved: CpuMillis(100),
        memory_reserved: ByteSize(64 << 20),
        disk_reserved: Default::default(),
        devices: Default::default(),
        max_pods: 110,
        labels: BTreeMap::from([
            ("site".to_owned(), "north".to_owned()),
            ("kubernetes.io/os".to_owned(), "plan9".to_owned()),
        ]),
        conditions: Vec::new(),
    }
}

fn register(world: &mut TestWorld, name: &str, info: &NodeInfo) -> usize {
    let changes = node_registered(&world.world, &name.parse().unwrap(), info, START);
    let count = changes.len();
    world.apply(changes);
    count
}

fn condition(node: &Value, kind: &str) -> Value {
    let conditions = node["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|c| c["type"] == kind).cloned().unwrap_or_default()
}

#[test]
fn a_new_node() {
    let mut world = TestWorld::new();
    register(&mut world, "g7", &info());
    let node = world.object(Kind::NODE, "g7");
    assert_eq!(
        node["metadata"]["labels"],
        json!({"kubernetes.io/hostname": "g7", "kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux",
               "node-role.kubernetes.io/gateway": "", "site": "north"})
    );
    assert_eq!(node["spec"], json!({"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]}));
    assert_eq!(
        node["status"]["capacity"],
        json!({"cpu": "4", "memory": "1Gi", "ephemeral-storage": "8Gi", "pods": "110"})
    );
    assert_eq!(
        node["status"]["allocatable"],
        json!({"cpu": "3900m", "memory": "960Mi", "ephemeral-storage": "8Gi", "pods": "110"})
    );
    assert_eq!(
        node["status"]["addresses"],
        json!([{"type": "InternalIP", "address": "192.0.2.7"}, {"type": "Hostname", "address": "gateway-7"}])
    );
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v0.1.0");
    assert_eq!(node["status"]["nodeInfo"]["containerRuntimeVersion"], "youki-libcontainer://0.7.0");
    assert_eq!(condition(&node, "Ready")["status"], "True");
    assert_eq!(condition(&node, "DiskPressure")["status"], "False");
    assert_eq!(
        world.take_events(),
        [
            "Node/g7 RegisteredNode Node g7 event: Registered Node g7 in Controller",
            "Node/g7 NodeReady Node g7 status is now: NodeReady"
        ]
    );
    assert_eq!(register(&mut world, "g7", &info()), 0, "nothing is new");
}

#[test]
fn what_changes_is_written() {
    let mut world = TestWorld::new();
    register(&mut world, "g7", &info());
    world.take_events();
    let full = NodeCondition {
        kind: "DiskPressure".to_owned(),
        holds: true,
        reason: "DiskFull".to_owned(),
        message: "5 MiB left".to_owned(),
    };
    let refused = NodeCondition {
        kind: "DesiredRefused".to_owned(),
        reason: "BadSignature".to_owned(),
        ..full.clone()
    };
    let labels = BTreeMap::from([("rack".to_owned(), "2".to_owned())]);
    register(&mut world, "g7", &NodeInfo { labels, conditions: vec![full, refused], ..info() });
    let node = world.object(Kind::NODE, "g7");
    assert_eq!(
        (node["metadata"]["labels"]["site"].clone(), node["metadata"]["labels"]["rack"].clone()),
        (Value::Null, json!("2"))
    );
    assert_eq!(condition(&node, "DiskPressure")["reason"], "DiskFull");
    assert_eq!(condition(&node, "DesiredRefused")["status"], "True");
    // A user's label and cordon stay.
    world.patch(
        Kind::NODE,
        "g7",
        json!({"metadata": {"labels": {"mine": "1"}}, "spec": {"unschedulable": true}}),
    );
    register(&mut world, "g7", &info());
    let node = world.object(Kind::NODE, "g7");
    assert_eq!(
        (node["metadata"]["labels"]["mine"].clone(), node["spec"]["unschedulable"].clone()),
        (json!("1"), json!(true))
    );
    assert_eq!(condition(&node, "DiskPressure")["status"], "False");
    assert_eq!(condition(&node, "DesiredRefused"), Value::Null);
    assert_eq!(
        world.take_events(),
        [
            "Node/g7 NodeHasDiskPressure Node g7 status is now: NodeHasDiskPressure",
            "Node/g7 NodeHasNoDiskPressure Node g7 status is now: NodeHasNoDiskPressure"
        ]
    );
}

#[test]
fn devices_and_what_is_reserved() {
    let mut world = TestWorld::new();
    let amounts = |world: &TestWorld| {
        let status = world.object(Kind::NODE, "g7")["status"].clone();
        (status["capacity"].clone(), status["allocatable"].clone())
    };
    let devices = BTreeMap::from([
        ("devices.gannet.dev/modbus".to_owned(), 2),
        ("devices.gannet.dev/can".to_owned(), 1),
        ("cpu".to_owned(), 1_000_000),
    ]);
    register(&mut world, "g7", &NodeInfo { devices, disk_reserved: ByteSize(1 << 30), ..info() });
    let (capacity, allocatable) = amounts(&world);
    assert_eq!(
        capacity,
        json!({"cpu": "4", "memory": "1Gi", "ephemeral-storage": "8Gi", "pods": "110",
               "devices.gannet.dev/modbus": "2", "devices.gannet.dev/can": "1"})
    );
    assert_eq!(
        allocatable,
        json!({"cpu": "3900m", "memory": "960Mi", "ephemeral-storage": "7Gi", "pods": "110",
               "devices.gannet.dev/modbus": "2", "devices.gannet.dev/can": "1"})
    );
    // A device that went away stays listed, with nothing of it left; so does its class, until the node is made anew.
    for devices in [BTreeMap::from([("devices.gannet.dev/can".to_owned(), 1)]), BTreeMap::new()] {
        let left = devices.get("devices.gannet.dev/can").map_or("0", |_| "1");
        register(&mut world, "g7", &NodeInfo { devices, ..info() });
        for amounts in [amounts(&world).0, amounts(&world).1] {
            assert_eq!(amounts["devices.gannet.dev/modbus"], "0");
            assert_eq!(amounts["devices.gannet.dev/can"], left);
        }
    }
}

#[test]
fn pod_ranges_are_the_lowest_free() {
    let mut world = TestWorld::new();
    let cidr = |world: &TestWorld, name: &str| {
        world.object(Kind::NODE, name)["spec"]["podCIDR"].as_str().unwrap().to_owned()
    };
    for i in 0..256 {
        register(&mut world, &format!("g{i}"), &info());
        assert_eq!(cidr(&world, &format!("g{i}")), format!("10.42.{i}.0/24"));
    }
    register(&mut world, "more", &info());
    assert_eq!(cidr(&world, "more"), "10.42.0.0/24");
    world.delete(Kind::NODE, &ObjectKey::new("", "g9"));
    register(&mut world, "again", &info());
    assert_eq!(cidr(&world, "again"), "10.42.9.0/24");
}
