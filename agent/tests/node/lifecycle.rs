//! The life of a pod: the order of its containers, their hooks, what ends them, and what they say of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::{Node, can_run, processes, until};

/// A script that writes its name into the file of the test, and on SIGTERM its end.
fn resident(name: &str) -> String {
    format!(
        "echo {name} >> /h/order; trap 'echo {name}-end >> /h/order; exit 0' TERM; touch /h/{name}; while true; do sleep 0.1; done"
    )
}

fn container(name: &str, script: &str) -> Value {
    json!({"name": name, "image": "busybox:1", "pull_policy": "IfNotPresent", "args": ["sh", "-c", script]})
}

fn sidecar(name: &str) -> Value {
    let mut container = container(name, &resident(name));
    container["sidecar"] = json!(true);
    container["startup"] = json!({"action": {"exec": ["/bin/busybox", "test", "-e", format!("/h/{name}")]},
        "initial_delay_seconds": 0, "period_seconds": 1, "timeout_seconds": 5, "success_threshold": 1, "failure_threshold": 30});
    container
}

fn order(node: &Node) -> Vec<String> {
    let text = fs::read_to_string(node.host_folder().join("order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn init_containers_and_sidecars_begin_in_order_and_end_in_the_other_one() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let pod = node.pod("web", &resident("main"), |m| {
        m["init_containers"] = json!([
            container("first", "echo first >> /h/order"),
            sidecar("one"),
            container("second", "echo second >> /h/order"),
            sidecar("two"),
        ]);
    });
    // The folder's path is the node's.
    let mut manifest: Value = serde_json::from_slice(
        &fs::read(node.data().join("ledger/blobs/sha256").join(pod.manifest.hex())).unwrap(),
    )
    .unwrap();
    node.with_host_folder(&mut manifest);
    let digest = node.blob(&serde_json::to_vec(&manifest).unwrap());
    let mut pod = node.entry("web", digest);
    node.want(vec![pod.clone()]);
    node.start(&[]);
    let status = node.wait_pod("web", "ready", |s| s["containers"][0]["ready"] == true);
    assert_eq!(order(&node), ["first", "one", "second", "two", "main"]);
    assert_eq!(status["init_containers"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(status["init_containers"][1]["state"].get("running").is_some(), "{status}");
    assert_eq!(status["init_containers"][1]["started"], true);

    // A sidecar that ends is started again, and nothing else.
    let before = status["containers"][0]["state"].clone();
    let pid = processes("touch /h/one;")[0];
    crate::fixture::send(pid, "KILL");
    let status = node.wait_pod("web", "whole again", |s| {
        s["init_containers"][1]["restart_count"] == 1 && s["init_containers"][1]["ready"] == true
    });
    assert_eq!(status["containers"][0]["state"], before);

    node.terminate();
    fs::remove_file(node.host_folder().join("order")).unwrap();
    pod.stop_within_seconds = Some(20);
    node.want(vec![pod]);
    node.start(&[]);
    node.wait_gone("web");
    assert_eq!(order(&node), ["main-end", "two-end", "one-end"]);
}

#[test]
fn sidecars_do_not_keep_a_pod_from_its_end_and_a_deadline_ends_any() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let marker = format!("sleep 30{}", std::process::id());
    let job = node.pod("job", "echo done", |m| {
        m["restart_policy"] = json!("Never");
        let mut sidecar = container("side", "trap 'exit 0' TERM; while true; do sleep 0.1; done");
        sidecar["sidecar"] = json!(true);
        m["init_containers"] = json!([sidecar]);
    });
    let late = node.pod("late", &format!("exec {marker}"), |m| m["active_deadline_seconds"] = json!(3));
    node.want(vec![job, late]);
    node.start(&[]);
    let job = node.wait_pod("job", "succeeded", |s| s["phase"] == "Succeeded");
    assert_eq!(job["init_containers"][0]["state"]["terminated"]["exit_code"], 0, "{job}");
    let late = node.wait_pod("late", "failed", |s| s["phase"] == "Failed");
    assert_eq!(late["reason"], "DeadlineExceeded");
    assert_eq!(late["message"], "Pod was active on the node longer than the specified deadline");
    until("its process is gone", || processes(&marker).is_empty().then_some(()));
    node.kill();
    node.start(&[]);
    node.wait_up();
    let after = node.wait_pod("late", "failed", |s| s["phase"] == "Failed");
    assert_eq!(after["reason"], "DeadlineExceeded");
    assert!(processes(&marker).is_empty());
    node.wait_pod("job", "succeeded", |s| s["phase"] == "Succeeded");
}

/// A server that tells of every request.
fn listener() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut request).unwrap_or(0) > 2 {}
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let _ = told.send(request);
        }
    });
    (port, requests)
}

#[test]
fn hooks_run_after_the_start_and_before_the_end() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let (port, requests) = listener();
    let sh = |script: &str| json!({"exec": ["/bin/busybox", "sh", "-c", script]});
    let folder = node.host_folder();
    let host = |m: &mut Value| {
        m["volumes"] =
            json!([{"name": "host", "source": {"hostPath": {"path": folder, "kind": "Directory"}}}]);
        m["containers"][0]["mounts"] = json!([{"volume": "host", "path": "/h"}]);
    };
    let mut hooks = node.pod("hooks", &resident("main"), |m| {
        host(m);
        m["containers"][0]["post_start"] =
            sh("until test -e /h/main -a -e /h/go; do sleep 0.1; done; echo post >> /h/order");
        m["containers"][0]["pre_stop"] = sh("echo pre >> /h/order; sleep 1; echo pre-done >> /h/order");
    });
    let mut web = node.pod("web", "exec sleep 1000", |m| {
        let get = json!({"port": port, "path": "/bye", "tls": false, "host": "127.0.0.1", "headers": [["X-Pod", "web"]]});
        m["containers"][0]["pre_stop"] = json!({"http": get});
        m["containers"][0]["post_start"] = json!({"sleep": 0});
        m["termination_grace_seconds"] = json!(1);
    });
    let bad = node.pod("bad", "trap 'exit 0' TERM; while true; do sleep 0.1; done", |m| {
        m["containers"][0]["post_start"] = sh("echo never; exit 3");
    });
    node.want(vec![hooks.clone(), web.clone(), bad]);
    node.start(&[]);
    node.wait_running("hooks");
    until("the container began", || (order(&node) == ["main"]).then_some(()));
    let waiting = node.wait_running("hooks");
    assert_eq!((&waiting["ready"], &waiting["started"]), (&json!(false), &json!(false)), "the hook goes on");
    fs::write(node.host_folder().join("go"), "").unwrap();
    node.wait("hooks", "ready", |c| c["ready"] == true);
    assert_eq!(order(&node), ["main", "post"]);
    node.wait("web", "ready", |c| c["ready"] == true);
    let bad = node.wait("bad", "restarted", |c| c["state"]["waiting"]["reason"] == "CrashLoopBackOff");
    assert_eq!(bad["ready"], false);
    assert!(node.log().contains("command exited with 3"), "{}", node.log());

    // An agent that comes later runs no postStart hook again, and no hook for a container that ends by itself.
    node.kill();
    fs::remove_file(node.host_folder().join("order")).unwrap();
    hooks.stop_within_seconds = Some(20);
    web.stop_within_seconds = Some(20);
    node.want(vec![hooks, web]);
    node.start(&[]);
    node.wait_gone("hooks");
    node.wait_gone("web");
    assert_eq!(order(&node), ["pre", "pre-done", "main-end"]);
    let request = requests.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(request.starts_with("GET /bye HTTP/1.1\r\n") && request.contains("X-Pod: web\r\n"), "{request}");
    assert!(request.contains("User-Agent: kube-lifecycle/"), "{request}");
    assert!(requests.try_recv().is_err(), "once");
}

#[test]
fn what_containers_say_of_their_end() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let never = |m: &mut Value| m["restart_policy"] = json!("Never");
    let pods = vec![
        node.pod("file", "echo -n because > /dev/termination-log; echo log; exit 3", |m| {
            never(m);
            m["containers"][0]["termination_message_from_log"] = json!(true);
        }),
        node.pod("log", "echo oops; echo more; exit 1", |m| {
            never(m);
            m["containers"][0]["termination_message_from_log"] = json!(true);
        }),
        node.pod("well", "echo fine", |m| {
            never(m);
            m["containers"][0]["termination_message_from_log"] = json!(true);
        }),
        node.pod("path", "echo -n there > /tmp/said; exit 1", |m| {
            never(m);
            m["containers"][0]["termination_message_path"] = json!("/tmp/said");
            m["containers"][0]["security"] = json!({"run_as_user": 1000});
        }),
        node.pod("again", "echo -n last > /dev/termination-log; exit 1", |_| ()),
    ];
    node.want(pods);
    node.start(&[]);
    for (pod, code, message) in [
        ("file", 3, json!("because")),
        ("log", 1, json!("oops\nmore\n")),
        ("well", 0, Value::Null),
        ("path", 1, json!("there")),
    ] {
        let ended = node.wait(pod, "ended", |c| c["state"].get("terminated").is_some());
        let ended = &ended["state"]["terminated"];
        assert_eq!((&ended["exit_code"], &ended["message"]), (&json!(code), &message), "{pod}: {ended}");
    }
    let again = node.wait("again", "backing off", |c| c["state"]["waiting"]["reason"] == "CrashLoopBackOff");
    assert_eq!(again["last"]["message"], "last", "{again}");

    // The wait goes on where the agent was killed.
    let wait = again["state"]["waiting"].clone();
    node.kill();
    node.start(&[]);
    node.wait_up();
    let after = node.wait("again", "there", |c| c["state"].get("waiting").is_some());
    assert_eq!((&after["state"]["waiting"], &after["restart_count"]), (&wait, &again["restart_count"]));
    assert_eq!(after["last"], again["last"]);
}

#[test]
fn programs_that_cannot_run_and_images_that_may_not_come() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let folder = node.host_folder();
    for (name, mode) in [("garbage", 0o755), ("plain", 0o644)] {
        fs::write(folder.join(name), [0x7f, b'E', b'L', b'F', 9, 9, 9, 9]).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = |program: &str| {
        let (folder, program) = (folder.clone(), program.to_owned());
        move |m: &mut Value| {
            m["volumes"] =
                json!([{"name": "host", "source": {"hostPath": {"path": folder, "kind": "Directory"}}}]);
            m["containers"][0]["mounts"] = json!([{"volume": "host", "path": "/h"}]);
            m["containers"][0]["command"] = json!([program]);
        }
    };
    let pods = vec![
        node.pod("garbage", "", run("/h/garbage")),
        node.pod("plain", "", run("/h/plain")),
        node.pod("hungry", "x=$(head -c 50000000 /dev/zero | tr '\\0' a); echo full", |m| {
            m["restart_policy"] = json!("Never");
            m["containers"][0]["resources"] = json!({"memory_limit": 16 << 20});
        }),
        node.pod("never", "", |m| {
            m["containers"][0]["image"] = json!("elsewhere:1");
            m["containers"][0]["pull_policy"] = json!("Never");
        }),
        node.pod("fine", "exec sleep 1000", |_| ()),
    ];
    node.want(pods);
    node.start(&[]);
    node.wait_running("fine");
    for (pod, words) in [("garbage", "xec format error"), ("plain", "ermission denied")] {
        let ended = node.wait(pod, "refused", |c| c["state"]["waiting"]["reason"] == "CrashLoopBackOff");
        let last = &ended["last"];
        assert_eq!(
            (&last["reason"], &last["exit_code"]),
            (&json!("StartError"), &json!(128)),
            "{pod}: {last}"
        );
        assert!(last["message"].as_str().unwrap().contains(words), "{pod}: {last}");
    }
    let hungry = node.wait("hungry", "killed", |c| c["state"].get("terminated").is_some());
    let ended = &hungry["state"]["terminated"];
    assert_eq!((&ended["reason"], &ended["exit_code"]), (&json!("OOMKilled"), &json!(137)), "{ended}");
    let never = node.wait("never", "refused", |c| c["state"]["waiting"]["reason"] == "ErrImageNeverPull");
    let message = never["state"]["waiting"]["message"].as_str().unwrap();
    assert_eq!(message, "Container image \"elsewhere:1\" is not present with pull policy of Never");
}

#[test]
fn the_manifests_stop_signal_counts() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let folder = node.host_folder();
    let script = "trap 'echo usr1 >> /h/order; exit 0' USR1; touch /h/up; while true; do sleep 0.1; done";
    let mut pod = node.pod("web", script, |m| {
        m["volumes"] =
            json!([{"name": "host", "source": {"hostPath": {"path": folder, "kind": "Directory"}}}]);
        m["containers"][0]["mounts"] = json!([{"volume": "host", "path": "/h"}]);
        m["containers"][0]["stop_signal"] = json!("SIGUSR1");
    });
    node.want(vec![pod.clone()]);
    node.start(&[]);
    until("it runs", || node.host_folder().join("up").exists().then_some(()));
    node.wait_running("web");
    node.terminate();
    pod.stop_within_seconds = Some(20);
    node.want(vec![pod]);
    node.start(&[]);
    node.wait_gone("web");
    assert_eq!(order(&node), ["usr1"]);
}
