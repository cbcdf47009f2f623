//! The agent protects itself: a full disk, a disk that became read-only, a watchdog, a bound for its memory.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::fixture::{Node, can_run, processes, until};

/// A small file system in memory, as the data folder of a node.
struct Disk(PathBuf);

impl Disk {
    fn of(node: &Node) -> Self {
        let disk = Self(node.data());
        mount(&["-t", "tmpfs", "-o", "size=96m", "none", disk.path()]);
        fs::create_dir_all(disk.0.join("ledger/blobs/sha256")).unwrap();
        disk
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        let mut block = vec![1; 1 << 20];
        while !block.is_empty() {
            while file.write_all(&block).is_ok() {}
            block.truncate(block.len() / 2);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", self.path()]).status();
    }
}

fn mount(args: &[&str]) {
    assert!(Command::new("mount").args(args).status().unwrap().success(), "mount {args:?}");
}

/// The power goes: no process is left, and what was in memory is gone.
fn power_cut(node: &mut Node, pod: &str, marker: &str) {
    node.kill();
    for pid in [processes(&format!("shim {}", node.uid(pod))), processes(marker)].concat() {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
    until("all is dead", || processes(marker).is_empty().then_some(()));
    let script = format!(
        "umount -R {0}/pods/*/ns/* 2>/dev/null; umount {1}/pods/*/containers/*/rootfs 2>/dev/null; rm -rf {0}",
        node.run_dir().display(),
        node.data().display()
    );
    Command::new("sh").args(["-c", &script]).status().unwrap();
}

fn condition(node: &Node, kind: &str) -> Option<bool> {
    let output = node.command(&["ps", "-o", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let conditions = answer["info"]["conditions"].as_array()?.clone();
    conditions.iter().find(|c| c["kind"] == kind)?["holds"].as_bool()
}

#[test]
fn a_full_disk_keeps_no_pod_from_running() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let disk = Disk::of(&node);
    let marker = format!("sleep 5{}", std::process::id());
    let pod = node.pod("web", &format!("exec {marker}"), |_| ());
    node.want(vec![pod]);
    node.start(&[]);
    node.wait_running("web");
    let reserve = node.data().join("reserve");
    until("room is reserved", || fs::metadata(&reserve).ok().filter(|m| m.len() > 1 << 20));

    power_cut(&mut node, "web", &marker);
    disk.fill();
    assert!(fs::write(node.data().join("more"), [1; 4096]).is_err(), "it is really full");
    node.start(&[]);
    node.wait_running("web");
    assert!(node.log().contains("the reserved room is given up"), "{}", node.log());
    assert!(!reserve.exists());
    until("it is told", || condition(&node, "DiskPressure").filter(|holds| *holds));
    fs::remove_file(node.data().join("filler")).unwrap();
    until("room is reserved again", || fs::metadata(&reserve).ok().filter(|m| m.len() > 1 << 20));
    node.terminate();
    node.start(&["--stop-pods-on-exit"]);
    until("the agent works", || node.log().matches("agent runs").nth(2).map(drop));
    node.terminate();
}

#[test]
fn a_read_only_disk_keeps_no_pod_from_running() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let disk = Disk::of(&node);
    let marker = format!("sleep 6{}", std::process::id());
    let pod = node.pod("web", &format!("echo hello; touch /written && exec {marker}"), |_| ());
    node.want(vec![pod]);
    node.start(&[]);
    node.wait_running("web");

    power_cut(&mut node, "web", &marker);
    mount(&["-o", "remount,ro", disk.path()]);
    assert!(fs::write(node.data().join("more"), b"x").is_err());
    node.start(&[]);
    node.wait_running("web");
    until("it runs", || (processes(&marker).len() == 1).then_some(()));
    assert_eq!(node.logs(&["web"]), "hello\n", "logs are kept in memory");
    assert!(node.log().contains("the data folder is read-only"), "{}", node.log());
    node.kill();
    let pid = processes(&marker);
    node.start(&[]);
    node.wait_running("web");
    assert_eq!(processes(&marker), pid, "it is found again");

    node.terminate();
    node.start(&["--stop-pods-on-exit"]);
    node.wait_running("web");
    node.terminate();
    mount(&["-o", "remount,rw", disk.path()]);
    node.start(&["--stop-pods-on-exit"]);
    node.wait_running("web");
    node.terminate();
}

fn next(socket: &UnixDatagram) -> Option<String> {
    let mut bytes = [0; 512];
    let count = socket.recv(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

#[test]
fn the_service_manager_is_told() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    node.env.push(("NOTIFY_SOCKET".into(), path.display().to_string()));
    node.env.push(("WATCHDOG_USEC".into(), "2000000".into()));
    let marker = format!("sleep 7{}", std::process::id());
    let pod = node.pod("web", &format!("exec {marker}"), |_| ());
    node.want(vec![pod]);
    node.start(&[]);
    // The first of all words: not before the pods had their chance.
    let first = next(&socket).unwrap();
    assert!(first.starts_with("READY=1\nSTATUS="), "{first}");
    assert_eq!(processes(&marker).len(), 1, "pods first\n{}", node.log());
    for _ in 0..4 {
        let ping = next(&socket).unwrap();
        assert!(ping.starts_with("WATCHDOG=1"), "{ping}");
    }
    let (agent, pod) = (node.pid().unwrap(), processes(&marker)[0]);
    assert!(data_limit(agent).is_some(), "the agent's memory is bounded");
    assert_eq!(data_limit(pod), None, "a pod's is not bounded by that");
    node.terminate();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let last = std::iter::from_fn(|| next(&socket)).find(|text| text.contains("STOPPING=1"));
    assert!(last.is_some());
    node.env.clear();
}

/// What a process may allocate, where that is bounded.
fn data_limit(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    line.split_whitespace().nth(3)?.parse().ok()
}

#[test]
fn the_doctor_tells_causes_and_remedies() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    node.in_own_network();
    let key = Node::key().verifying_key().to_base64();
    let ask = |more: &[&str]| {
        let output = node.command(&[&["doctor", "--node-name", "gw-1", "--hub-key", &key], more].concat());
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = ask(&[]);
    assert_eq!(code, 0, "{text}");
    for subject in
        ["root", "clock", "namespaces", "overlayfs", "seccomp", "cgroups", "nftables", "veth", "data folder"]
    {
        assert!(text.contains(&format!("ok       {subject}: ")), "{subject} is not well in\n{text}");
    }
    assert!(text.contains("warning  hub: no hub is configured\n         → "), "{text}");
    let (code, text) = ask(&["--mqtt-url", "mqtt://127.0.0.1:1", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let hub = told["checks"].as_array().unwrap().iter().find(|c| c["subject"] == "hub").unwrap();
    assert_eq!((code, &hub["result"]), (0, &serde_json::json!("warning")), "pods run all the same");
    assert!(hub["cause"].as_str().unwrap().contains("does not answer"), "{hub}");
    // Nothing of the tries is left.
    let left: Vec<_> = fs::read_dir(node.data()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["ledger"]);
    let (code, text) = ask(&["--bridge", "a-name-that-is-too-long"]);
    assert!(code == 1 && text.contains("WRONG    configuration: "), "{code} {text}");
    let file = node.data().join("agent.toml");
    fs::write(&file, "max_pod = 1\n").unwrap();
    let (code, text) = ask(&["--config", file.to_str().unwrap()]);
    let cause = "agent.toml:1: unknown key \"max_pod\": did you mean \"max_pods\"?";
    assert!(code == 1 && text.contains(&format!("{cause}\n         → correct the file")), "{code} {text}");

    let disk = Disk::of(&node);
    mount(&["-o", "remount,ro", disk.path()]);
    let (code, text) = ask(&[]);
    assert!(
        code == 1 && text.contains("read-only file system") && text.contains("remount,rw"),
        "{code} {text}"
    );
}
