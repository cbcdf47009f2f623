use gannet_protocols_model::{ByteSize, CpuMillis, NodeCondition};
use serde_json::{Value, json};

use super::*;
use crate::Kind;
use crate::control::node_registered;
use crate::control::test_world::{START, TestWorld};

fn info(conditions: &[(&str, bool, &str)]) -> NodeInfo {
    let condition = |(kind, holds, reason): &(&str, bool, &str)| NodeCondition {
        kind: (*kind).to_owned(),
        holds: *holds,
        reason: (*reason).to_owned(),
        message: format!("because {reason}"),
    };
    NodeInfo {
        address: [192, 0, 2, 7].into(),
        hostname: "g".to_owned(),
        architecture: "arm64".to_owned(),
        kernel: String::new(),
        os_image: String::new(),
        machine_id: String::new(),
        boot_id: String::new(),
        agent_version: String::new(),
        cpu: CpuMillis(1000),
        memory: ByteSize(1 << 30),
        disk: ByteSize(1 << 30),
        cpu_reserved: CpuMillis(0),
        memory_reserved: ByteSize(0),
        disk_reserved: ByteSize(0),
        devices: Default::default(),
        max_pods: 110,
        labels: Default::default(),
        conditions: conditions.iter().map(condition).collect(),
    }
}

/// What a node that says this looks like: `condition status reason since` of each pressure, its taints, the events.
fn check(
    world: &mut TestWorld,
    said: &[(&str, bool, &str)],
    expected: &[&str],
    taints: &[&str],
    news: &[&str],
) {
    let changes = node_registered(&world.world, &"g".parse().unwrap(), &info(said), world.now);
    world.apply(changes);
    let node = world.object(Kind::NODE, "g");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |c: &Value| {
        let since = c["lastTransitionTime"].as_str().unwrap_or_default();
        let minute = since.get(14..16).unwrap_or_default();
        format!("{} {} {} {minute}", text(&c["type"]), text(&c["status"]), text(&c["reason"]))
    };
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let found: Vec<String> = conditions.iter().map(of).filter(|line| !line.starts_with("Ready")).collect();
    assert_eq!(found, expected, "{said:?}");
    let found: Vec<String> = node["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| format!("{}:{}", text(&t["key"]), text(&t["effect"])))
        .collect();
    assert_eq!(found, taints, "{said:?}");
    let events: Vec<String> =
        world.take_events().iter().filter_map(|e| e.split(' ').nth(1)).map(str::to_owned).collect();
    assert_eq!(events, news, "{said:?}");
}

#[test]
fn pressures_come_and_go() {
    let mut world = TestWorld::new();
    assert_eq!(world.now, START);
    let memory = "MemoryPressure False KubeletHasSufficientMemory 00";
    let pids = "PIDPressure False KubeletHasSufficientPID 00";
    check(
        &mut world,
        &[],
        &[memory, "DiskPressure False KubeletHasNoDiskPressure 00", pids],
        &[],
        &["RegisteredNode", "NodeReady"],
    );
    world.wait(60);
    let memory_low = ("MemoryPressure", true, "KubeletHasInsufficientMemory");
    let disk_low = ("DiskPressure", true, "KubeletHasDiskPressure");
    check(
        &mut world,
        &[memory_low, disk_low, ("DesiredRefused", true, "BadSignature")],
        &[
            "MemoryPressure True KubeletHasInsufficientMemory 01",
            "DiskPressure True KubeletHasDiskPressure 01",
            pids,
            "DesiredRefused True BadSignature 01",
        ],
        &["node.kubernetes.io/memory-pressure:NoSchedule", "node.kubernetes.io/disk-pressure:NoSchedule"],
        &["NodeHasInsufficientMemory", "NodeHasDiskPressure"],
    );
    // A user's taint stays.
    world.patch(
        Kind::NODE,
        "g",
        json!({"spec": {"taints": [
            {"key": "mine", "effect": "NoExecute"}, {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}]}}),
    );
    world.wait(60);
    check(
        &mut world,
        &[("MemoryPressure", false, "KubeletHasSufficientMemory"), disk_low],
        &[
            "MemoryPressure False KubeletHasSufficientMemory 02",
            "DiskPressure True KubeletHasDiskPressure 01",
            pids,
        ],
        &["mine:NoExecute", "node.kubernetes.io/disk-pressure:NoSchedule"],
        &["NodeHasSufficientMemory"],
    );
    check(
        &mut world,
        &[("PIDPressure", true, "KubeletHasInsufficientPID")],
        &[
            "MemoryPressure False KubeletHasSufficientMemory 02",
            "DiskPressure False KubeletHasNoDiskPressure 02",
            "PIDPressure True KubeletHasInsufficientPID 02",
        ],
        &["mine:NoExecute", "node.kubernetes.io/pid-pressure:NoSchedule"],
        &["NodeHasNoDiskPressure", "NodeHasInsufficientPID"],
    );
}
