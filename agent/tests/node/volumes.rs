//! Volumes as running containers see them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gannet_protocols_model::ConfigBlob;
use serde_json::{Value, json};

use crate::fixture::{Node, can_run, until};

fn sh(script: &str) -> Value {
    json!(["sh", "-c", script])
}

fn blob(node: &Node, data: &[(&str, &str)]) -> String {
    let blob = ConfigBlob::new(data.iter().map(|(k, v)| (k.to_string(), v.as_bytes().to_vec())));
    node.blob(&blob.to_bytes()).to_string()
}

fn mount(volume: &str, path: &str) -> Value {
    json!({"volume": volume, "path": path})
}

/// The log of a pod once it has this text.
fn log_with(node: &Node, pod: &str, container: &str, text: &str) -> String {
    let mut last = String::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the log has what is wanted", || {
            last = node.logs(&[pod, "-c", container]);
            last.contains(text).then(|| last.clone())
        })
    }));
    found.unwrap_or_else(|_| {
        panic!("log of {pod} has no {text:?}: {}\n{}", node.logs(&[pod, "-c", container]), node.log())
    })
}

#[test]
fn files_of_every_source_have_their_content_mode_and_group() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let config = blob(&node, &[("a", "A"), ("b", "B")]);
    let secret = blob(&node, &[("key", "K")]);
    let script = "show() { echo \"$1 $(stat -L -c '%a %g' $1) $(cat $1)\"; }
        for f in /cm/deep/x /sec/key /proj/a /proj/pod/labels /down/name /down/cpu /down/mem; do show $f; done
        for d in /cm /sec /proj /down; do touch $d/x 2>/dev/null || echo $d read-only; done
        ls -d /cm/..2* | wc -l; readlink /cm/deep
        echo $(stat -c '%a %g' /disk) $(stat -c '%a %g' /mem); echo done; exec sleep 1000";
    let mut pod = node.pod("files", script, |m| {
        m["fs_group"] = json!(2000);
        m["volumes"] = json!([
            {"name": "cm", "source": {"configMap": {"blob": config, "default_mode": 0o644, "items": [{"key": "a", "path": "deep/x", "mode": 0o400}]}}},
            {"name": "sec", "source": {"secret": {"blob": secret, "default_mode": 0o400}}},
            {"name": "proj", "source": {"projected": {"default_mode": 0o644, "sources": [
                {"configMap": {"blob": config, "default_mode": 0}},
                {"secret": {"blob": secret, "default_mode": 0, "items": [{"key": "key", "path": "a", "mode": 0o600}]}},
                {"downwardApi": [{"path": "pod/labels", "value": {"field": "metadata.labels"}}]}]}}},
            {"name": "down", "source": {"downwardApi": {"default_mode": 0o644, "items": [
                {"path": "name", "value": {"field": "metadata.name"}},
                {"path": "cpu", "value": {"resource": {"container": "main", "resource": "limits.cpu", "divisor_millis": 1}}},
                {"path": "mem", "value": {"resource": {"container": "main", "resource": "requests.memory", "divisor_millis": 1_048_576_000}}}]}}},
            {"name": "disk", "source": {"emptyDir": {"memory": false, "size_limit": null}}},
            {"name": "mem", "source": {"emptyDir": {"memory": true, "size_limit": null}}},
        ]);
        let all = ["cm", "sec", "proj", "down", "disk", "mem"];
        m["containers"][0]["mounts"] = all.iter().map(|v| mount(v, &format!("/{v}"))).collect();
        m["containers"][0]["resources"] = json!({"cpu_limit": 250, "memory_request": 33_554_433});
    });
    // As the hub writes a whole map.
    pod.fields.insert("metadata.labels".into(), "app=\"web\"\ntier=\"\\\"x\\\"\"".into());
    node.want(vec![pod]);
    node.start(&[]);
    let log = log_with(&node, "files", "main", "done\n");
    let expect = "/cm/deep/x 440 2000 A\n/sec/key 440 2000 K\n/proj/a 640 2000 K\n\
        /proj/pod/labels 644 2000 app=\"web\"\ntier=\"\\\"x\\\"\"\n/down/name 644 2000 files\n/down/cpu 644 2000 250\n\
        /down/mem 644 2000 33\n/cm read-only\n/sec read-only\n/proj read-only\n/down read-only\n1\n..data/deep\n\
        2777 2000 2777 2000\ndone\n";
    assert_eq!(log, expect);
}

/// The container looks all the time; it sees the old files or the new ones, never some of each.
#[test]
fn changes_show_in_a_running_container_all_at_once() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    // `..data` is read once a turn: what it leads to is whole, or gone by the next turn.
    let script = "while :; do for v in /cm /sec; do d=$v/$(readlink $v/..data)
            a=$(cat $d/a 2>/dev/null) || continue; b=$(cat $d/b 2>/dev/null) || continue
            [ \"$a\" = \"$b\" ] || echo torn \"$a\" \"$b\"; [ \"$a\" = \"$(cat /tmp$v 2>/dev/null)\" ] || echo $v is $a; mkdir -p /tmp; echo -n $a > /tmp$v; done
            l=$(cat /down/labels); [ \"$l\" = \"$last\" ] || echo labels $l; last=$l; done";
    let pod = |node: &mut Node, round: u32| {
        let data = format!("round-{round}");
        let data = blob(node, &[("a", &data), ("b", &data), ("filler", &"x".repeat(100_000))]);
        let mut pod = node.pod("live", script, |m| {
            m["volumes"] = json!([
                {"name": "cm", "source": {"configMap": {"blob": data, "default_mode": 0o644}}},
                {"name": "sec", "source": {"secret": {"blob": data, "default_mode": 0o644}}},
                {"name": "down", "source": {"downwardApi": {"default_mode": 0o644, "items": [{"path": "labels", "value": {"field": "metadata.labels"}}]}}},
            ]);
            m["containers"][0]["mounts"] = json!([mount("cm", "/cm"), mount("sec", "/sec"), mount("down", "/down")]);
        });
        pod.fields.insert("metadata.labels".into(), format!("round=\"{}\"", round / 2));
        pod
    };
    for round in 0..4 {
        let pod = pod(&mut node, round);
        node.want(vec![pod]);
        node.start(&[]);
        log_with(&node, "live", "main", &format!("/cm is round-{round}\n"));
        log_with(&node, "live", "main", &format!("/sec is round-{round}\n"));
        node.kill();
    }
    // With the manifest as it was, a label alone.
    let mut last = pod(&mut node, 3);
    last.fields.insert("metadata.labels".into(), "round=\"9\"".into());
    node.want(vec![last]);
    node.start(&[]);
    let log = log_with(&node, "live", "main", "labels round=\"9\"\n");
    assert!(!log.contains("torn"), "{log}");
    assert!(log.contains("labels round=\"0\"\n") && log.contains("labels round=\"1\"\n"), "{log}");
    assert_eq!(node.wait_running("live")["restart_count"], 0);
}

#[test]
fn sub_paths_are_parts_of_volumes_and_nothing_else() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let config = blob(&node, &[("one", "1"), ("two", "2")]);
    let volumes = json!([
        {"name": "data", "source": {"emptyDir": {"memory": false, "size_limit": null}}},
        {"name": "cm", "source": {"configMap": {"blob": config, "default_mode": 0o644}}},
    ]);
    let good = node.pod(
        "good",
        "cat /etc/app/one; echo mine > /logs/x; stat -c %a /logs; ls /all; exec sleep 1000",
        |m| {
            m["volumes"] = volumes.clone();
            m["containers"][0]["env"] = json!([{"name": "POD", "value": {"field": "metadata.name"}}]);
            m["containers"][0]["mounts"] = json!([
                {"volume": "data", "path": "/logs", "sub_path_expr": "logs/$(POD)"},
                {"volume": "cm", "path": "/etc/app/one", "sub_path": "one"},
                {"volume": "data", "path": "/all"},
            ]);
        },
    );
    let bad = node.pod("bad", "exec sleep 1000", |m| {
        m["volumes"] = volumes.clone();
        m["init_containers"] = json!([{"name": "evil", "image": "busybox:1", "pull_policy": "IfNotPresent",
            "args": sh("ln -s / /v/out; ln -s ../../../../.. /v/up"), "mounts": [mount("data", "/v")]}]);
        m["containers"][0]["mounts"] = json!([{"volume": "data", "path": "/v", "sub_path": "out/etc"}]);
    });
    let unknown = node.pod("unknown", "exec sleep 1000", |m| {
        m["volumes"] = volumes.clone();
        m["containers"][0]["mounts"] =
            json!([{"volume": "data", "path": "/v", "sub_path_expr": "$(NOBODY)"}]);
    });
    node.want(vec![good, bad, unknown]);
    node.start(&[]);
    let log = log_with(&node, "good", "main", "logs\n");
    assert_eq!(log, "1777\nlogs\n");
    for (pod, expect) in [("bad", "leads out of the volume"), ("unknown", "missing value for \"NOBODY\"")] {
        let waiting =
            node.wait(pod, "refused", |c| c["state"]["waiting"]["reason"] == "CreateContainerConfigError");
        let message = waiting["state"]["waiting"]["message"].as_str().unwrap();
        assert!(message.contains("failed to prepare subPath") && message.contains(expect), "{message}");
    }
    let inside = node.data().join("pods").join(node.uid("good")).join("volumes/data/logs/good/x");
    assert_eq!(fs::read_to_string(inside).unwrap(), "mine\n");
    // A container that starts again gets its part again.
    node.command(&["exec", "good", "--", "sh", "-c", "kill 1"]);
    node.wait_running("good");
    node.terminate();
    node.want(vec![]);
    node.start(&[]);
    until("the pods are gone", || node.status("good").is_none().then_some(()));
    until("their folders are gone", || {
        fs::read_dir(node.data().join("pods")).unwrap().next().is_none().then_some(())
    });
    node.terminate();
    assert_eq!(node.left_overs(), Vec::<String>::new());
}

/// A folder of the node that passes mounts on, for as long as the test runs.
struct Shared(PathBuf);

impl Shared {
    fn new(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let text = path.to_str().unwrap();
        run("mount", &["-t", "tmpfs", "tmpfs", text]);
        run("mount", &["--make-shared", text]);
        Self(path.to_owned())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-R", "-l", self.0.to_str().unwrap()]).status();
    }
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}

#[test]
fn mounts_show_on_the_other_side_where_they_should() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let shared = Shared::new(&node.host_folder().join("shared"));
    let own = node.host_folder().join("own");
    fs::create_dir_all(&own).unwrap();
    let volumes = json!([
        {"name": "host", "source": {"hostPath": {"path": shared.0, "kind": "Directory"}}},
        {"name": "own", "source": {"hostPath": {"path": "/proc", "kind": "Directory"}}},
    ]);
    let watch = "while ! [ -e /h/late/x ]; do [ -e /h/stop ] && { echo never; break; }; sleep 0.1; done; [ -e /h/late/x ] && echo seen; exec sleep 1000";
    let pod = |node: &mut Node, name: &str, propagation: &str, script: &str, privileged: bool| {
        node.pod(name, script, |m| {
            m["volumes"] = volumes.clone();
            m["containers"][0]["mounts"] =
                json!([{"volume": "host", "path": "/h", "propagation": propagation}]);
            m["containers"][0]["security"] = json!({"privileged": privileged});
        })
    };
    let gives = "mkdir -p /h/given && mount -t tmpfs tmpfs /h/given && touch /h/given/x && echo given; exec sleep 1000";
    let pods = vec![
        pod(&mut node, "none", "None", watch, false),
        pod(&mut node, "gets", "HostToContainer", watch, false),
        pod(&mut node, "gives", "Bidirectional", gives, true),
        pod(&mut node, "humble", "Bidirectional", "exec sleep 1000", false),
        node.pod("private", "exec sleep 1000", |m| {
            m["volumes"] = volumes.clone();
            m["containers"][0]["mounts"] =
                json!([{"volume": "own", "path": "/h", "propagation": "HostToContainer"}]);
        }),
    ];
    node.want(pods);
    node.start(&[]);
    log_with(&node, "gives", "main", "given");
    assert!(shared.0.join("given/x").exists(), "the container's mount shows on the node");
    node.wait_running("none");
    node.wait_running("gets");
    let late = shared.0.join("late");
    fs::create_dir(&late).unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", late.to_str().unwrap()]);
    fs::write(late.join("x"), "").unwrap();
    log_with(&node, "gets", "main", "seen");
    fs::write(shared.0.join("stop"), "").unwrap();
    assert_eq!(log_with(&node, "none", "main", "never"), "never\n");
    for (pod, expect) in
        [("humble", "only to privileged containers"), ("private", "is not a shared or slave mount")]
    {
        let waiting =
            node.wait(pod, "refused", |c| c["state"]["waiting"]["reason"] == "CreateContainerConfigError");
        let message = waiting["state"]["waiting"]["message"].as_str().unwrap();
        assert!(message.contains(expect), "{message}");
    }
    // The pods go; what they mounted on the node, and what the node mounted, stays.
    node.terminate();
    node.want(vec![]);
    node.start(&[]);
    until("the pods are gone", || {
        fs::read_dir(node.data().join("pods")).unwrap().next().is_none().then_some(())
    });
    assert!(shared.0.join("given/x").exists() && late.join("x").exists());
    node.terminate();
    drop(shared);
    assert_eq!(node.left_overs(), Vec::<String>::new());
}

#[test]
fn memory_is_bounded_and_bad_volumes_are_told() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let bounded = node.pod("bounded", "", |m| {
        m["volumes"] = json!([
            {"name": "small", "source": {"emptyDir": {"memory": true, "size_limit": 2_097_152}}},
            {"name": "pods", "source": {"emptyDir": {"memory": true, "size_limit": null}}},
        ]);
        m["containers"][0]["mounts"] = json!([mount("small", "/small"), mount("pods", "/pods")]);
        m["containers"][0]["resources"] = json!({"memory_limit": 25_165_824});
        // The figures of the file system are asked for, not those of the cgroup.
        m["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "second", "image": "busybox:1", "pull_policy": "IfNotPresent",
            "args": sh("exec sleep 1000"), "resources": {"memory_limit": 8_388_608}}));
        m["containers"][0]["args"] =
            sh("for v in small pods; do df -k /$v | tail -n1 | awk '{print $2}'; done; exec sleep 1000");
    });
    let absent = node.host_folder().join("absent");
    let directory = node.pod("directory", "exec sleep 1000", |m| {
        m["volumes"] =
            json!([{"name": "host", "source": {"hostPath": {"path": absent, "kind": "Directory"}}}]);
    });
    let missing = node.pod("missing", "exec sleep 1000", |m| {
        m["volumes"] = json!([{"name": "cm", "source": {"configMap": {"blob": null, "missing": "configmap \"x\" not found", "default_mode": 0o644}}}]);
    });
    node.want(vec![bounded, directory, missing]);
    node.start(&[]);
    assert_eq!(log_with(&node, "bounded", "main", "32768"), "2048\n32768\n");
    let told = |pod: &str, expect: &str| {
        until("the agent tells", || node.log().lines().any(|l| l.contains(expect)).then_some(()));
        node.wait(pod, "waiting", |c| c["state"]["waiting"]["reason"] == "ContainerCreating");
    };
    told("directory", &format!("hostPath type check failed: {} is not a directory", absent.display()));
    told("missing", "configmap \\\"x\\\" not found");
    // What is missing comes, and the pod runs with the next try.
    fs::create_dir(&absent).unwrap();
    node.wait_running("directory");
}

/// The folder of one pod on a disk of its own, which is full, then cannot be written, then can.
#[test]
fn a_full_or_read_only_disk_is_told_and_tried_again() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let large = blob(&node, &[("large", &"x".repeat(300_000))]);
    let pod = |node: &mut Node, name: &str| {
        node.pod(name, "ls /v; exec sleep 1000", |m| {
            m["volumes"] =
                json!([{"name": "cm", "source": {"configMap": {"blob": large, "default_mode": 0o644}}}]);
            m["containers"][0]["mounts"] = json!([mount("cm", "/v")]);
        })
    };
    let disks = ["full", "sealed"].map(|name| {
        let folder = node.data().join("pods").join(node.uid(name));
        fs::create_dir_all(&folder).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=100k", "tmpfs", folder.to_str().unwrap()]);
        Shared(folder)
    });
    run("mount", &["-o", "remount,ro", disks[1].0.to_str().unwrap()]);
    let pods = ["full", "sealed", "fine"].map(|name| pod(&mut node, name));
    node.want(pods.into());
    node.start(&[]);
    node.wait_running("fine");
    for (pod, expect) in [("full", "No space left on device"), ("sealed", "Read-only file system")] {
        until("the agent tells", || {
            let log = node.log();
            let uid = node.uid(pod);
            log.lines()
                .any(|l| l.contains(&uid) && l.contains("step=Volumes") && l.contains(expect))
                .then_some(())
        });
        node.wait(pod, "waiting", |c| c["state"]["waiting"]["reason"] == "ContainerCreating");
    }
    for disk in &disks {
        run("mount", &["-o", "remount,rw,size=64m", disk.0.to_str().unwrap()]);
    }
    node.wait_running("full");
    node.wait_running("sealed");
    node.terminate();
    node.want(vec![]);
    drop(disks);
}
