//! Devices: given to containers, kept, followed as they come and go. The device nodes are made by the tests, with numbers
//! of devices that every kernel has, that no container may open by itself, and that opening does no harm to.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};

use crate::fixture::{Node, can_run, until};

/// `/dev/fuse` and `/dev/loop-control`.
const FUSE: (u32, u32) = (10, 229);
const LOOP_CONTROL: (u32, u32) = (10, 237);

fn make(path: &Path, (major, minor): (u32, u32)) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(major, minor)).unwrap();
}

/// A node with a configuration file, and the folder of its devices.
fn node_with(classes: &str) -> (Node, PathBuf) {
    let mut node = Node::new();
    let dev = node.data().with_file_name("dev");
    fs::create_dir_all(&dev).unwrap();
    let config = node.data().with_file_name("agent.toml");
    fs::write(&config, classes.replace("DEV", dev.to_str().unwrap())).unwrap();
    node.flags = vec!["--config".into(), config.to_str().unwrap().into()];
    (node, dev)
}

const MODBUS: &str =
    "[[device]]\nname = 'modbus'\npaths = ['DEV/ttyFAKE*']\ncontainer_path = '/dev/modbus'\n";

fn asks(count: u32) -> impl Fn(&mut Value) {
    move |m| m["containers"][0]["devices"] = json!({"devices.gannet.dev/modbus": count})
}

fn counts(node: &Node) -> Value {
    let output = node.command(&["ps", "-o", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    answer["info"]["devices"].clone()
}

fn wait_for_count(node: &Node, count: u32) {
    until("the count is right", || {
        (counts(node) == json!({"devices.gannet.dev/modbus": count})).then_some(())
    });
}

fn wait_for_log(node: &Node, pod: &str, text: &str) {
    until(text, || node.logs(&[pod]).contains(text).then_some(()));
}

/// Tells what it may open, then again and again what it finds at `/dev/modbus`.
const SCRIPT: &str = "ls -ln /dev/modbus; stat -c '%t:%T' /dev/modbus; (: < /dev/modbus) && echo opened; \
    mknod /tmp/x c 10 237 2>/dev/null && (: < /tmp/x) 2>/dev/null && echo 'opened another'; exec sleep 1000";

#[test]
fn a_unit_is_given_to_one_pod_and_kept() {
    if !can_run() {
        return;
    }
    let (mut node, dev) = node_with(MODBUS);
    make(&dev.join("ttyFAKE0"), FUSE);
    fs::write(dev.join("ttyFAKE1"), "a file is no device").unwrap();
    let first = node.pod("first", SCRIPT, |m| {
        asks(1)(m);
        m["containers"][0]["security"] = json!({"run_as_user": 1000, "run_as_group": 2000});
    });
    let second = node.pod("second", SCRIPT, asks(1));
    let none = node.pod(
        "none",
        "ls /dev/modbus; mknod /tmp/x c 10 229 && : < /tmp/x && echo opened; exec sleep 1000",
        |_| (),
    );
    node.want(vec![first.clone(), none.clone()]);
    node.start(&[]);
    node.wait_running("first");
    assert_eq!(counts(&node), json!({"devices.gannet.dev/modbus": 1}));
    wait_for_log(&node, "first", "opened");
    let log = node.logs(&["first"]);
    assert!(log.contains("1000     2000") && log.contains("a:e5") && !log.contains("another"), "{log}");
    node.wait_running("none");
    wait_for_log(&node, "none", "No such file");
    assert!(!node.logs(&["none"]).contains("opened"), "{}", node.logs(&["none"]));

    // The next agent knows who has it.
    node.kill();
    node.want(vec![first, none.clone(), second.clone()]);
    node.start(&[]);
    let waiting = node.wait("second", "waiting for a device", |c| {
        c["state"]["waiting"]["reason"] == "UnexpectedAdmissionError"
    });
    let message = waiting["state"]["waiting"]["message"].as_str().unwrap();
    let expect = "Allocate failed due to requested number of devices unavailable for devices.gannet.dev/modbus. \
        Requested: 1, Available: 0, which is unexpected";
    assert_eq!(message, expect);

    // With the first pod goes its hold on the device, and the second starts by itself.
    node.terminate();
    node.want(vec![none, second]);
    node.start(&[]);
    node.wait_running("second");
    wait_for_log(&node, "second", "opened");
    node.clear();
}

#[test]
fn a_pod_that_is_over_holds_nothing() {
    if !can_run() {
        return;
    }
    let (mut node, dev) = node_with(MODBUS);
    make(&dev.join("ttyFAKE0"), FUSE);
    let job = node.pod("job", "while ! [ -e /go/go ]; do sleep 0.1; done", |m| {
        asks(1)(m);
        m["restart_policy"] = json!("Never");
        m["volumes"] = json!([{"name": "go", "source": {"hostPath": {"path": dev.to_str().unwrap(), "kind": "Directory"}}}]);
        m["containers"][0]["mounts"] = json!([{"volume": "go", "path": "/go"}]);
    });
    let next = node.pod("next", SCRIPT, asks(1));
    node.want(vec![job.clone()]);
    node.start(&[]);
    node.wait_running("job");
    node.terminate();
    node.want(vec![job, next]);
    node.start(&[]);
    node.wait("next", "waiting", |c| c["state"]["waiting"]["reason"] == "UnexpectedAdmissionError");
    fs::write(dev.join("go"), "").unwrap();
    node.wait_running("next");
    assert_eq!(node.status("job").unwrap()["phase"], "Succeeded");
    node.clear();
}

#[test]
fn devices_come_and_go() {
    if !can_run() {
        return;
    }
    let (mut node, dev) = node_with(MODBUS);
    let path = dev.join("ttyFAKE0");
    let script = "while :; do n=$(stat -c '%t:%T' /dev/modbus 2>/dev/null); (: < /dev/modbus) 2>/dev/null && n=\"$n opened\"; \
        [ \"$n\" = \"$o\" ] || echo \"now <$n>\"; o=$n; sleep 0.1; done";
    let pod = node.pod("web", script, asks(1));
    node.want(vec![pod]);
    node.start(&[]);
    node.wait("web", "waiting", |c| c["state"]["waiting"]["reason"] == "UnexpectedAdmissionError");
    assert_eq!(counts(&node), json!({"devices.gannet.dev/modbus": 0}));
    make(&path, FUSE);
    node.wait_running("web");
    wait_for_log(&node, "web", "now <a:e5 opened>");
    wait_for_count(&node, 1);

    fs::remove_file(&path).unwrap();
    wait_for_count(&node, 0);
    wait_for_log(&node, "web", "now <>");
    // It comes back as another device to the kernel.
    make(&path, LOOP_CONTROL);
    wait_for_log(&node, "web", "now <a:ed opened>");
    wait_for_count(&node, 1);
    let described = node.command(&["describe", "web", "-o", "json"]);
    let text = String::from_utf8_lossy(&described.stdout).into_owned();
    assert!(text.contains("DeviceGone") && text.contains("DeviceBack"), "{text}");

    // So it is where that happens while no agent runs.
    node.kill();
    fs::remove_file(&path).unwrap();
    make(&path, FUSE);
    node.start(&[]);
    until("it is followed", || (node.logs(&["web"]).matches("now <a:e5 opened>").count() == 2).then_some(()));
    assert_eq!(node.status("web").unwrap()["containers"][0]["restart_count"], 0, "it ran all the time");
    node.clear();
}

#[test]
fn a_configuration_that_is_wrong_is_told_whole() {
    let (node, _) = node_with(
        "[[device]]\nname = 'X'\npaths = ['DEV/x']\nnode_name = 'y'\n[reserved]\nmemory = 'much'\n",
    );
    let config = node.flags[1].clone();
    let output = node.command(&["run", "--config", &config]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    for part in [
        "agent.toml:2: device.name",
        "agent.toml:4: unknown key \"node_name\"",
        "agent.toml:6: reserved.memory",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
