//! What pods use, asked on the device.

use gannet_protocols_model::{NodeUsage, PodUsage};
use serde_json::json;

use crate::fixture::{Node, can_run, until};

fn stats(node: &Node) -> NodeUsage {
    let output = node.command(&["stats", "-o", "json"]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn pod<'a>(usage: &'a NodeUsage, name: &str) -> &'a PodUsage {
    usage.pods.iter().find(|p| p.name == name).unwrap()
}

#[test]
fn figures_of_pods() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    // A fifth of a core, a log, a file in the writable layer, one in a volume on the disk and one in memory.
    let busy = "head -c 3000000 /dev/zero > /file; head -c 5000000 /dev/zero > /disk/file; head -c 7000000 /dev/zero > /memory/file; \
        sync; echo ready; while :; do :; done";
    let busy = node.pod("busy", busy, |m| {
        m["containers"][0]["resources"] = json!({"cpu_limit": 200});
        m["volumes"] = json!([
            {"name": "disk", "source": {"emptyDir": {"memory": false}}},
            {"name": "memory", "source": {"emptyDir": {"memory": true}}},
        ]);
        m["containers"][0]["mounts"] =
            json!([{"volume": "disk", "path": "/disk"}, {"volume": "memory", "path": "/memory"}]);
    });
    let idle = node.pod("idle", "exec sleep 1000", |_| ());
    let done = node.pod("done", "true", |m| m["restart_policy"] = json!("Never"));
    node.want(vec![busy, idle, done]);
    node.start(&[]);
    node.wait_running("idle");
    until("busy is ready", || node.logs(&["busy"]).contains("ready").then_some(()));

    let first = stats(&node);
    assert!((500..60_000).contains(&first.window_ms), "{first:?}");
    let busy = pod(&first, "busy");
    let usage = busy.containers[0].usage;
    // Files in memory are the pod's memory; those on the disk are cache that can be given back.
    assert!((7_000_000..40_000_000).contains(&usage.memory.0), "{usage:?}");
    assert!((3_000_000..5_000_000).contains(&usage.disk.0), "{usage:?}");
    assert!((5_000_000..7_000_000).contains(&busy.volumes.0), "{busy:?}");
    // The quota holds it to 200m, however busy the machine is; it cannot have had less than a little.
    assert!((10_000_000..300_000_000).contains(&usage.cpu_nanos), "{usage:?}");
    let idle = pod(&first, "idle").containers[0].usage;
    assert!(idle.cpu_nanos < 50_000_000 && idle.pids == 1, "{idle:?}");
    assert_eq!(pod(&first, "done").containers, []);
    assert!(first.node.cpu_nanos > 0 && first.node.memory > first.agent.memory && first.agent.memory.0 > 0);

    // Whoever asks right after gets the same; the next one a fresh one, at once.
    assert_eq!(stats(&node).at, first.at);
    until("a fresh answer", || {
        let next = stats(&node);
        (next.at > first.at).then(|| assert!(next.window_ms >= 4000, "{next:?}"))
    });
}
