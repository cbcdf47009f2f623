//! Node pressure and limits of disk: who goes, and what is told of it.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Node, can_run, until};

fn configure(node: &mut Node, toml: &str) {
    let path = node.data().join("agent.toml");
    fs::write(&path, toml).unwrap();
    node.flags = vec!["--config".to_owned(), path.to_str().unwrap().to_owned()];
}

fn wait_evicted(node: &Node, pod: &str) -> String {
    let status: Value =
        until(&format!("{pod} is evicted"), || node.status(pod).filter(|s| s["reason"] == "Evicted"));
    assert_eq!(status["phase"], "Failed", "{status}");
    until(&format!("{pod} stopped"), || {
        let status = node.status(pod)?;
        status["containers"][0]["state"]["running"].is_null().then_some(())
    });
    status["message"].as_str().unwrap().to_owned()
}

#[test]
fn short_of_memory_pods_go_in_kubelets_order_and_critical_ones_stay() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    configure(&mut node, "[eviction]\nmemory_available = \"100%\"\n");
    let request =
        |m: &mut Value, request: u64| m["containers"][0]["resources"] = json!({"memory_request": request});
    let pods = vec![
        node.pod("modest", "exec sleep 1000", |m| request(m, 512 << 20)),
        node.pod("greedy", "exec sleep 1000", |_| ()),
        node.pod("critical", "exec sleep 1000", |m| m["priority"] = json!(2_000_000_000)),
    ];
    node.want(pods);
    node.start(&[]);
    let message = wait_evicted(&node, "greedy");
    assert!(message.starts_with("The node was low on resource: memory. Threshold quantity: "), "{message}");
    assert!(
        message.contains("Container main was using ") && message.contains(", request is 0, "),
        "{message}"
    );
    let message = wait_evicted(&node, "modest");
    assert!(!message.contains("Container main"), "within its request: {message}");
    node.wait_running("critical");
    let log = node.log();
    let order: Vec<usize> = ["greedy", "modest"]
        .iter()
        .map(|pod| log.lines().position(|l| l.contains("pod evicted") && l.contains(&node.uid(pod))).unwrap())
        .collect();
    assert!(order[0] < order[1], "{log}");

    // They do not come back by themselves, also not with another agent that finds memory enough.
    node.terminate();
    node.flags.clear();
    node.start(&[]);
    node.wait_running("critical");
    assert_eq!(node.status("greedy").unwrap()["reason"], "Evicted");
}

#[test]
fn short_of_disk_unused_images_go_before_pods() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    // A layer that no image has any more.
    let unused = node.data().join("images/layers").join("0".repeat(64));
    fs::create_dir_all(&unused).unwrap();
    configure(&mut node, "[eviction]\ndisk_available = \"100%\"\n");
    let pods = vec![
        node.pod("writer", "dd if=/dev/zero of=/big bs=1M count=8; exec sleep 1000", |_| ()),
        node.pod("critical", "exec sleep 1000", |m| m["priority"] = json!(2_000_000_000)),
    ];
    node.want(pods);
    node.start(&[]);
    let message = wait_evicted(&node, "writer");
    assert!(message.starts_with("The node was low on resource: ephemeral-storage. "), "{message}");
    node.wait_running("critical");
    assert!(!unused.exists());
    let used = fs::read_dir(node.data().join("images/layers")).unwrap().count();
    assert_eq!(used, 1, "what pods run from stays");
}

#[test]
fn who_takes_more_disk_than_allowed_goes_and_the_others_stay() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let empty = |limit: u64| json!([{"name": "cache", "source": {"emptyDir": {"memory": false, "size_limit": limit}}}]);
    let mounts = json!([{"volume": "cache", "path": "/cache"}]);
    let write = "dd if=/dev/zero of=/cache/big bs=1M count=4; exec sleep 1000";
    let pods = vec![
        node.pod("volume", write, |m| {
            m["volumes"] = empty(1 << 20);
            m["containers"][0]["mounts"] = mounts.clone();
        }),
        node.pod("layer", "dd if=/dev/zero of=/big bs=1M count=4; exec sleep 1000", |m| {
            m["containers"][0]["resources"] = json!({"disk_limit": 1 << 20});
        }),
        node.pod("within", write, |m| {
            m["volumes"] = empty(64 << 20);
            m["containers"][0]["mounts"] = mounts.clone();
            m["containers"][0]["resources"] = json!({"disk_limit": 64 << 20});
        }),
    ];
    node.want(pods);
    node.start(&[]);
    let message = wait_evicted(&node, "volume");
    assert_eq!(message, "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ");
    let message = wait_evicted(&node, "layer");
    assert_eq!(message, "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ");
    node.wait_running("within");
}
