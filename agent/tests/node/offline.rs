//! Without a hub: what the ledger says runs, whatever befalls the agent.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use gannet_protocols_model::{ConfigBlob, Network};
use serde_json::json;

use crate::fixture::{Node, can_run, processes, send, until};

#[test]
fn a_pod_of_the_ledger_runs_and_outlives_the_agent() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let marker = format!("exec sleep 10{}", std::process::id());
    let pod = node.pod("web", &format!("echo hello; {marker}"), |_| ());
    node.want(vec![pod]);
    node.start(&[]);
    let before = node.wait_running("web");
    let pids = processes(&marker["exec ".len()..]);
    assert_eq!(pids.len(), 1, "{pids:?}");
    assert_eq!(node.logs(&["web"]), "hello\n");
    let table = String::from_utf8(node.command(&["ps"]).stdout).unwrap();
    assert!(table.contains("default     web    1/1     Running"), "{table}");

    until("it is written down", || node.data().join("ledger/pods.json").exists().then_some(()));
    node.kill();
    assert_eq!(node.logs(&["web"]), "hello\n", "without an agent");
    node.start(&[]);
    let after = node.wait_running("web");
    assert_eq!(processes(&marker["exec ".len()..]), pids, "the same process");
    assert_eq!(before, after, "nothing changed, not even the time of its start");

    node.terminate();
    assert_eq!(processes(&marker["exec ".len()..]), pids, "an orderly stop leaves it too");
    node.start(&[]);
    until("the agent works", || node.log().matches("agent runs").nth(2).map(drop));
    // A container that is killed runs again at once.
    let begun = Instant::now();
    send(pids[0], "KILL");
    let again =
        node.wait("web", "restarted", |c| c["restart_count"] == 1 && c["state"].get("running").is_some());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((&again["last"]["exit_code"], &again["last"]["reason"]), (&json!(137), &json!("Error")));
    assert_eq!(node.logs(&["web", "--previous"]), "hello\n");
}

#[test]
fn an_agent_that_died_with_the_machine_starts_all_again_without_a_registry() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let marker = format!("sleep 20{}", std::process::id());
    let pods = vec![
        node.pod("web", &format!("exec {marker}"), |_| ()),
        node.pod("done", "echo once >> /data/count; exit 0", |m| {
            m["restart_policy"] = json!("OnFailure");
            m["volumes"] =
                json!([{"name": "data", "source": {"emptyDir": {"memory": false, "size_limit": null}}}]);
            m["containers"][0]["mounts"] = json!([{"volume": "data", "path": "/data"}]);
        }),
    ];
    node.want(pods);
    node.start(&[]);
    node.wait_running("web");
    node.wait("done", "completed", |c| c["state"]["terminated"]["reason"] == "Completed");
    let records = node.data().join("ledger/pods.json");
    until("what must survive is on disk", || {
        fs::read_to_string(&records).ok().filter(|t| t.contains("\"over\":true"))
    });

    // The power goes: no process is left, and what was in memory is gone.
    node.kill();
    for pid in [
        processes(&format!("shim {}", node.uid("web"))),
        processes(&format!("shim {}", node.uid("done"))),
        processes(&marker),
    ]
    .concat()
    {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
    until("all is dead", || processes(&marker).is_empty().then_some(()));
    Command::new("sh")
        .args(["-c", &format!("umount -R {0}/pods/*/ns/* 2>/dev/null; rm -rf {0}", node.run_dir().display())])
        .status()
        .unwrap();
    node.registry = 1;
    let begun = Instant::now();
    node.start(&[]);
    let again = node.wait_running("web");
    eprintln!("running again after {:?}", begun.elapsed());
    assert_eq!(again["restart_count"], 1);
    let done = node.wait("done", "known", |c| c["state"]["terminated"]["reason"] == "Completed");
    assert_eq!(done["restart_count"], 0, "what had completed is not run again");
}

#[test]
fn crashes_bad_programs_and_probes() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let probe = |command: &str| {
        json!({"action": {"exec": ["/bin/busybox", "sh", "-c", command]}, "initial_delay_seconds": 0, "period_seconds": 1,
               "timeout_seconds": 5, "success_threshold": 1, "failure_threshold": 1})
    };
    let pods = vec![
        node.pod("crash", "echo bye; exit 3", |_| ()),
        node.pod("nofile", "", |m| m["containers"][0]["command"] = json!(["/no/such/file"])),
        node.pod("noimage", "", |m| m["containers"][0]["image"] = json!("nothing:2")),
        node.pod("sick", "trap 'exit 0' TERM; while true; do sleep 0.1; done", |m| {
            m["containers"][0]["liveness"] = probe("exit 1")
        }),
        node.pod("slow", "sleep 1; touch /ready; exec sleep 1000", |m| {
            m["containers"][0]["readiness"] = probe("test -e /ready")
        }),
    ];
    node.want(pods);
    node.start(&[]);
    let crash = node.wait("crash", "backing off", |c| c["state"]["waiting"]["reason"] == "CrashLoopBackOff");
    assert_eq!((&crash["last"]["exit_code"], &crash["restart_count"]), (&json!(3), &json!(1)), "{crash}");
    assert_eq!(node.logs(&["crash"]), "bye\n");
    let nofile = node.wait("nofile", "refused", |c| c["state"]["waiting"]["reason"] == "CrashLoopBackOff");
    assert_eq!(
        (&nofile["last"]["reason"], &nofile["last"]["exit_code"]),
        (&json!("StartError"), &json!(128)),
        "{nofile}"
    );
    let message = nofile["last"]["message"].as_str().unwrap();
    assert!(message.contains("/no/such/file"), "{message}");
    let noimage = node.wait("noimage", "not pulled", |c| c["state"]["waiting"]["reason"] == "ErrImagePull");
    assert!(noimage["state"]["waiting"]["message"].as_str().unwrap().contains("nothing"), "{noimage}");
    node.wait("sick", "restarted", |c| c["restart_count"].as_u64() > Some(0));
    let slow = node.wait("slow", "ready", |c| c["ready"] == true);
    assert_eq!(slow["restart_count"], 0);
}

#[test]
fn what_is_not_desired_any_more_goes_and_nothing_is_left() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let pods = vec![
        node.pod("keep", "exec sleep 1000", |_| ()),
        node.pod("go", "trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done", |_| ()),
    ];
    node.want(pods.clone());
    node.start(&[]);
    node.wait_running("keep");
    node.wait_running("go");
    node.terminate();
    node.want(pods[..1].to_vec());
    node.start(&[]);
    until("the pod is gone", || node.status("go").is_none().then_some(()));
    until("its folder is gone", || (!node.data().join("pods").join(node.uid("go")).exists()).then_some(()));
    node.wait_running("keep");
    node.terminate();
    node.start(&["--stop-pods-on-exit"]);
    node.wait_running("keep");
    node.terminate();
    assert_eq!(node.left_overs(), Vec::<String>::new());
    assert!(!node.run_dir().exists());
}

#[test]
fn a_pod_has_an_address_of_its_own() {
    if !can_run() {
        return;
    }
    let mut node = Node::networked(&Network {
        pod_cidr: "10.77.0.0/24".into(),
        service_cidr: "10.78.0.0/16".into(),
        domain: "cluster.local".into(),
        ..Network::default()
    });
    let web = node.pod("web", "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www", |m| {
        m["host_network"] = json!(false);
        m["containers"][0]["readiness"] = json!({"action": {"http": {"port": 8080, "path": "/", "tls": false, "host": null, "headers": []}},
            "initial_delay_seconds": 0, "period_seconds": 1, "timeout_seconds": 5, "success_threshold": 1, "failure_threshold": 1});
    });
    node.want(vec![web]);
    node.start(&[]);
    node.wait("web", "ready", |c| c["ready"] == true);
    let ip = node.status("web").unwrap()["ip"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("10.77.0."), "{ip}");
    let got = node.inside("busybox").args(["wget", "-qO-", &format!("http://{ip}:8080/")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&got.stdout), "web\n", "{got:?}");
    node.kill();
    node.start(&[]);
    let after = node.wait("web", "ready", |c| c["ready"] == true);
    assert_eq!(after["restart_count"], 0);
    assert_eq!(node.status("web").unwrap()["ip"], ip);
    node.terminate();
    node.start(&["--stop-pods-on-exit"]);
    node.wait_running("web");
    node.terminate();
    assert_eq!(node.left_overs(), Vec::<String>::new());
    let links = node.inside("ip").args(["-o", "link"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&links.stdout).lines().count(), 1, "only lo is left: {links:?}");
}

#[test]
fn init_containers_volumes_and_environment() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let secret = ConfigBlob::new([("password".to_owned(), b"hunter2".to_vec())]);
    let blob = node.blob(&secret.to_bytes()).to_string();
    let sh = |script: &str| json!(["sh", "-c", script]);
    let pod = node.pod("web", "", |m| {
        m["init_containers"] = json!([
            {"name": "first", "image": "busybox:1", "pull_policy": "IfNotPresent", "args": sh("echo one > /data/x"),
             "mounts": [{"volume": "data", "path": "/data"}]},
            {"name": "second", "image": "busybox:1", "pull_policy": "IfNotPresent", "args": sh("echo two >> /data/x"),
             "mounts": [{"volume": "data", "path": "/data"}]},
        ]);
        m["volumes"] = json!([
            {"name": "data", "source": {"emptyDir": {"memory": true, "size_limit": 1_048_576}}},
            {"name": "secret", "source": {"secret": {"blob": blob, "default_mode": 0o400}}},
        ]);
        m["containers"][0]["args"] = sh(
            "cat /data/x /secret/password; echo; echo $NAME $PASSWORD $1; touch /secret/y || echo read-only; exec sleep 1000",
        );
        m["containers"][0]["env"] = json!([
            {"name": "NAME", "value": {"field": "metadata.name"}},
            {"name": "PASSWORD", "value": {"key": {"blob": blob, "key": "password"}}},
        ]);
        m["containers"][0]["mounts"] =
            json!([{"volume": "data", "path": "/data"}, {"volume": "secret", "path": "/secret"}]);
        m["containers"][0]["resources"] = json!({"cpu_limit": 500, "memory_limit": 33_554_432});
    });
    node.want(vec![pod]);
    node.start(&[]);
    node.wait_running("web");
    let log = until("the log", || {
        Some(node.logs(&["web", "-c", "main"]))
            .filter(|log| log.contains("read-only\n") && log.contains("touch:"))
    });
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains("touch:")).collect();
    assert_eq!(lines, ["one", "two", "hunter2", "web hunter2", "read-only"]);
    let status = node.status("web").unwrap();
    assert_eq!(status["init_containers"][1]["state"]["terminated"]["reason"], "Completed");
    node.kill();
    node.start(&[]);
    node.wait_running("web");
    assert_eq!(node.status("web").unwrap(), status, "init containers are not run again");
}
