use serde_json::json;

use crate::control::test_world::{START, TestWorld};
use crate::control::{node_down, node_up};
use crate::{Kind, ObjectKey};

#[test]
fn down_and_up() {
    let mut world = TestWorld::with_nodes(1);
    let node = |world: &TestWorld| world.world.nodes[&ObjectKey::new("", "n1")].clone();
    assert_eq!(node_up(&node(&world), START), []);
    let changes = node_down(&node(&world), "the agent stopped reporting", START);
    world.apply(changes);
    let object = world.object(Kind::NODE, "n1");
    assert_eq!(
        object["status"]["conditions"],
        json!([{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "the agent stopped reporting",
                "lastHeartbeatTime": "2027-01-15T08:00:00Z", "lastTransitionTime": "2027-01-15T08:00:00Z"}])
    );
    assert_eq!(object["spec"]["taints"][0]["key"], "node.kubernetes.io/unreachable");
    assert_eq!(world.take_events(), ["Node/n1 NodeNotReady Node n1 status is now: NodeNotReady"]);
    assert_eq!(node_down(&node(&world), "the agent stopped reporting", START), []);
    let changes = node_up(&node(&world), START);
    world.apply(changes);
    let object = world.object(Kind::NODE, "n1");
    assert_eq!(object["status"]["conditions"][0]["status"], "True");
    assert!(object["spec"]["taints"].is_null());
    assert_eq!(world.take_events(), ["Node/n1 NodeReady Node n1 status is now: NodeReady"]);
}
