//! On-device rollback: what does not become ready goes back to what did, without a hub and across reboots.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use gannet_protocols_model::PodEntry;
use serde_json::{Value, json};

use crate::fixture::{Node, can_run, processes, until};

/// A crash is waited after for longer than this.
const DEADLINE: u32 = 6;

/// A pod of one owner, with the folder of the node that its starts are counted in.
fn pod(node: &mut Node, name: &str, image: &str, script: &str) -> PodEntry {
    let count = node.data().join("count");
    fs::create_dir_all(&count).unwrap();
    let script = format!("echo x >> /count/$VERSION; {script}");
    let mut entry = node.pod(name, &script, |m| {
        m["containers"][0]["image"] = json!(image);
        m["containers"][0]["env"] = json!([{"name": "VERSION", "value": {"text": script_name(&script)}}]);
        m["volumes"] =
            json!([{"name": "count", "source": {"hostPath": {"path": count, "kind": "Directory"}}}]);
        m["containers"][0]["mounts"] = json!([{"volume": "count", "path": "/count"}]);
    });
    entry.owner = Some("default/Deployment/web".into());
    entry.progress_deadline_seconds = Some(DEADLINE);
    entry
}

fn script_name(script: &str) -> &str {
    if script.contains("exit 3") { "bad" } else { "good" }
}

/// How often a version was started.
fn starts(node: &Node, version: &str) -> usize {
    fs::read_to_string(node.data().join("count").join(version)).unwrap_or_default().lines().count()
}

fn wait_healthy(node: &Node, entry: &PodEntry) {
    let path = node.data().join("ledger/rollback.json");
    let digest = entry.manifest.to_string();
    until("the manifest is known to be healthy", || {
        let text = fs::read_to_string(&path).ok()?;
        let memory: Value = serde_json::from_str(text.lines().next()?).ok()?;
        let healthy = memory["owners"].as_object()?.values().next()?["healthy"].as_array()?.clone();
        healthy.last().is_some_and(|h| h["manifest"] == digest).then_some(())
    });
}

fn wait_rolled_back(node: &Node, pod: &str) -> Value {
    until("the pod is rolled back", || {
        let status = node.status(pod)?;
        (!status["rolled_back"].is_null() && !status["containers"][0]["state"]["running"].is_null())
            .then_some(status)
    })
}

/// The power goes: no process is left, and what was in memory is gone.
fn power_cut(node: &mut Node, pods: &[&str], marker: &str) {
    node.kill();
    let shims = pods.iter().flat_map(|pod| processes(&format!("shim {}", node.uid(pod))));
    for pid in shims.chain(processes(marker)) {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
    until("all is dead", || processes(marker).is_empty().then_some(()));
    let run: PathBuf = node.run_dir();
    let wipe = format!("umount -R {0}/pods/*/ns/* 2>/dev/null; rm -rf {0}", run.display());
    Command::new("sh").args(["-c", &wipe]).status().unwrap();
}

#[test]
fn a_new_pod_that_crashes_runs_the_last_healthy_manifest_also_after_a_reboot() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let marker = format!("sleep 31{}", std::process::id());
    let old = pod(&mut node, "web-1", "busybox:1", &format!("exec {marker}"));
    node.want(vec![old.clone()]);
    node.start(&[]);
    wait_healthy(&node, &old);
    node.terminate();

    // As `Recreate` does: the old pod is gone from the document, a new one is there.
    let new = pod(&mut node, "web-2", "busybox:1", "echo boom; exit 3");
    node.want(vec![new.clone()]);
    node.start(&[]);
    let status = wait_rolled_back(&node, "web-2");
    let told = &status["rolled_back"];
    assert_eq!(status["manifest"], old.manifest.to_string());
    assert_eq!(
        (&told["failed"], &told["reason"]),
        (&json!(new.manifest.to_string()), &json!("CrashLoopBackOff"))
    );
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("did not become ready within 6s") && message.contains("\nboom"), "{message}");
    until("the old one runs", || (processes(&marker).len() == 1).then_some(()));
    assert!(node.status("web-1").is_none());
    let tried = starts(&node, "bad");

    // Neither a crash of the agent nor a reboot lets it be tried again, and nothing that runs is disturbed.
    let pids = processes(&marker);
    node.kill();
    node.start(&[]);
    wait_rolled_back(&node, "web-2");
    assert_eq!(processes(&marker), pids);
    let written = node.data().join("ledger/rollback.json");
    until("it is on disk", || fs::read_to_string(&written).ok().filter(|t| t.contains("CrashLoopBackOff")));
    power_cut(&mut node, &["web-2"], &marker);
    node.registry = 1;
    node.start(&[]);
    let again = wait_rolled_back(&node, "web-2");
    assert_eq!(again["rolled_back"], *told);
    until("the old one runs again", || (processes(&marker).len() == 1).then_some(()));
    assert_eq!(starts(&node, "bad"), tried, "not tried again");
}

#[test]
fn an_edited_pod_goes_back_and_a_further_edit_is_tried() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let marker = format!("sleep 32{}", std::process::id());
    let old = pod(&mut node, "web", "good:1", &format!("exec {marker}"));
    node.want(vec![old.clone()]);
    node.start(&[]);
    wait_healthy(&node, &old);
    node.terminate();
    let new = pod(&mut node, "web", "bad:1", "echo boom; exit 3");
    node.want(vec![new]);
    node.start(&[]);
    wait_rolled_back(&node, "web");
    until("the old one runs", || (processes(&marker).len() == 1).then_some(()));
    let pids = processes(&marker);
    node.kill();
    node.start(&[]);
    wait_rolled_back(&node, "web");
    assert_eq!(processes(&marker), pids, "adopted as it is");
    node.terminate();

    let further = format!("sleep 33{}", std::process::id());
    let newest = pod(&mut node, "web", "newest:1", &format!("exec {further}"));
    node.want(vec![newest.clone()]);
    node.start(&[]);
    wait_healthy(&node, &newest);
    assert_eq!((processes(&marker).len(), processes(&further).len()), (0, 1));
    assert!(node.status("web").unwrap()["rolled_back"].is_null());
}

#[test]
fn an_image_that_does_not_come_leaves_the_old_one_running() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let marker = format!("sleep 34{}", std::process::id());
    let old = pod(&mut node, "web", "good:1", &format!("exec {marker}"));
    node.want(vec![old.clone()]);
    node.start(&[]);
    wait_healthy(&node, &old);
    let pids = processes(&marker);
    node.terminate();
    let new = pod(&mut node, "web", "good:2", "exit 3");
    node.want(vec![new.clone()]);
    node.start(&[]);
    let status = wait_rolled_back(&node, "web");
    let reason = status["rolled_back"]["reason"].as_str().unwrap();
    assert!(reason == "ErrImagePull" || reason == "ImagePullBackOff", "{reason}");
    assert_eq!(processes(&marker), pids, "it was never touched");
    power_cut(&mut node, &["web"], &marker);
    node.start(&[]);
    until("it runs again", || (processes(&marker).len() == 1).then_some(()));
    assert_eq!(starts(&node, "bad"), 0);
}

/// A blob or record that the flash spoilt is found, and so is a layer whose program is not the one that it was.
#[test]
fn a_damaged_layer_is_fetched_again_and_damaged_records_are_set_aside() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let web = node.pod("web", "exec sleep 1000", |_| ());
    node.want(vec![web]);
    node.start(&["--stop-pods-on-exit"]);
    node.wait_running("web");
    until("it is written down", || node.data().join("ledger/pods.json").exists().then_some(()));
    node.terminate();
    let layer = fs::read_dir(node.data().join("images/layers")).unwrap().flatten().next().unwrap().path();
    let program = layer.join("bin/busybox");
    let mut bytes = fs::read(&program).unwrap();
    bytes[1] ^= 1;
    fs::write(&program, bytes).unwrap();
    for name in ["pods.json", "time", "session"] {
        let path = node.data().join("ledger").join(name);
        let Ok(mut bytes) = fs::read(&path) else { continue };
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    node.start(&[]);
    node.wait_running("web");
    assert!(node.log().contains("layer is damaged and set aside"), "{}", node.log());
    assert!(
        node.data().join("ledger/pods.json.bad").exists() && node.data().join("ledger/session.bad").exists()
    );
}
