//! In-place resize with real cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use gannet_agent_shim::fault::FILE;
use serde_json::{Value, json};

use crate::fixture::{Node, can_run, until};

/// The values of a file in the cgroups of a pod's containers, over all hierarchies.
fn values(pod: &str, names: &[&str]) -> Vec<String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = Vec::new();
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        let inside = fs::read_dir(hierarchy.join("gannet").join(pod)).into_iter().flatten().flatten();
        found.extend(inside.flat_map(|entry| names.iter().map(move |name| entry.path().join(name))));
    }
    found.iter().filter_map(|path| fs::read_to_string(path).ok()).map(|text| text.trim().to_owned()).collect()
}

fn memory(node: &Node, pod: &str) -> Vec<String> {
    values(&node.uid(pod), &["memory.limit_in_bytes", "memory.max"])
}

#[test]
fn a_running_container_is_given_other_limits() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let give = |memory: u64, cpu: u64| {
        move |m: &mut Value| {
            m["containers"][0]["resources"] = json!({"cpu_limit": cpu, "memory_limit": memory, "cpu_request": 100, "memory_request": 1 << 20});
        }
    };
    let hungry =
        "x=$(head -c 20000000 /dev/zero | tr '\\0' a); echo full; exec_not=1; while true; do sleep 0.1; done";
    let first = vec![
        node.pod("web", "exec sleep 1000", give(64 << 20, 500)),
        node.pod("hungry", hungry, give(200 << 20, 1000)),
        node.pod("huge", "exec sleep 1000", give(64 << 20, 500)),
        node.pod("anew", "exec sleep 1000", |m| {
            give(64 << 20, 500)(m);
            m["containers"][0]["resize_restarts"] = json!({"memory": true});
        }),
    ];
    node.want(first);
    node.start(&[]);
    let before = node.wait_running("web");
    node.wait_running("anew");
    node.wait_running("huge");
    until("it is full", || node.logs(&["hungry"]).contains("full").then_some(()));
    assert_eq!(memory(&node, "web"), [(64 << 20).to_string()]);
    node.terminate();

    let second = vec![
        node.pod("web", "exec sleep 1000", give(96 << 20, 250)),
        node.pod("hungry", hungry, give(4 << 20, 1000)),
        node.pod("huge", "exec sleep 1000", |m| {
            m["containers"][0]["resources"] =
                json!({"memory_limit": 1_u64 << 50, "memory_request": 1_u64 << 50});
        }),
        node.pod("anew", "exec sleep 1000", |m| {
            give(96 << 20, 500)(m);
            m["containers"][0]["resize_restarts"] = json!({"memory": true});
        }),
    ];
    node.want(second);
    // At first by an agent that dies when it is about to.
    let file = node.host_folder().join("fault");
    fs::write(&file, "executor.resize.begun").unwrap();
    node.env.push((FILE.to_owned(), file.to_str().unwrap().to_owned()));
    node.start(&[]);
    until("the agent dies", || node.has_ended().then_some(()));
    assert!(!file.exists());
    node.start(&[]);
    until("the limit is another one", || (memory(&node, "web") == [(96 << 20).to_string()]).then_some(()));
    let quota = values(&node.uid("web"), &["cpu.cfs_quota_us", "cpu.max"]);
    assert!(quota.iter().all(|q| q.starts_with("25000")) && !quota.is_empty(), "{quota:?}");
    let after = node.wait_pod("web", "resized", |s| s.get("resize").is_none());
    assert_eq!(after["containers"][0], before, "without a restart");
    node.wait("anew", "started anew", |c| c["restart_count"] == 1 && c["state"].get("running").is_some());
    assert_eq!(memory(&node, "anew"), [(96 << 20).to_string()]);

    let huge = node.wait_pod("huge", "refused", |s| s["resize"].get("infeasible").is_some());
    let why = huge["resize"]["infeasible"].as_str().unwrap();
    assert!(why.starts_with("Node didn't have enough capacity: memory, requested: "), "{why}");

    // What is in use cannot be taken away.
    let hungry = node.wait_pod("hungry", "told to wait", |s| s["resize"].get("deferred").is_some());
    assert!(!hungry["resize"]["deferred"].as_str().unwrap().is_empty());
    assert_eq!(hungry["containers"][0]["resources"]["memory_limit"], 200 << 20, "{hungry}");
    assert_eq!(hungry["containers"][0]["restart_count"], 0);
    assert_eq!(memory(&node, "hungry"), [(200 << 20).to_string()]);
}
