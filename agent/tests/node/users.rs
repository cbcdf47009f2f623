//! Pods with `hostUsers: false`, through the whole agent.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use gannet_protocols_model::{ConfigBlob, Network};
use serde_json::{Value, json};

use crate::fixture::{Node, can_run, until};

const BLOCK: u32 = 65_536;

fn said(node: &Node, pod: &str) -> String {
    let running = || Some(node.logs(&[pod])).filter(|text| text.lines().any(|line| line == "done"));
    until(&format!("{pod} has spoken\n{}", node.log()), running)
}

fn exec(node: &Node, pod: &str, script: &str) -> String {
    let mut command = node.inside(env!("CARGO_BIN_EXE_gannet-agent"));
    let folder = node.data();
    command.arg("exec").arg("--data-dir").arg(folder).args([pod, "--", "/bin/busybox", "sh", "-c", script]);
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The node's number of the process that runs this, and the users that it has there.
fn process(words: &str) -> (u32, Vec<u32>) {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pid = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.replace('\0', " ").trim() == words
    });
    let pid = pid.unwrap_or_else(|| panic!("nobody runs {words}"));
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    (pid, line.split_whitespace().map(|number| number.parse().unwrap()).collect())
}

fn users(
    node: &mut Node,
    name: &str,
    sleep: u32,
    edit: impl Fn(&mut Value),
) -> gannet_protocols_model::PodEntry {
    let secret = ConfigBlob::new([("key".to_owned(), b"hidden".to_vec())]);
    let secret = node.blob(&secret.to_bytes()).to_string();
    let script = format!(
        "id -u; cat /sec/key; echo; cat /cm/key; echo; stat -c 'secret of %u' -L /sec/key; echo from pod > /disk/file; \
         echo from pod > /mem/file; echo from pod > /h/file; echo in image > /file; stat -c 'file of %u' /file /etc/hosts; \
         touch /sec/new || echo read-only; mount -t tmpfs x /disk || echo no mount; \
         mkdir -p /www; hostname > /www/index.html; (httpd -f -p 8080 -h /www &) ; \
         echo ended > /dev/termination-log; echo done; exec sleep {sleep}"
    );
    let folder = node.host_folder();
    node.pod(name, &script, |m| {
        m["host_network"] = false.into();
        m["user_namespace"] = true.into();
        m["volumes"] =
            json!([{"name": "host", "source": {"hostPath": {"path": folder, "kind": "Directory"}}}]);
        m["containers"][0]["mounts"] = json!([{"volume": "host", "path": "/h"}]);
        let volumes = json!([
            {"name": "sec", "source": {"secret": {"blob": secret, "default_mode": 0o400}}},
            {"name": "cm", "source": {"configMap": {"blob": secret, "default_mode": 0o400}}},
            {"name": "disk", "source": {"emptyDir": {"memory": false, "size_limit": null}}},
            {"name": "mem", "source": {"emptyDir": {"memory": true, "size_limit": null}}},
        ]);
        m["volumes"].as_array_mut().unwrap().extend(volumes.as_array().unwrap().iter().cloned());
        let mounts =
            ["sec", "cm", "disk", "mem"].map(|name| json!({"volume": name, "path": format!("/{name}")}));
        m["containers"][0]["mounts"].as_array_mut().unwrap().extend(mounts);
        m["containers"][0]["readiness"] = json!({
            "action": {"exec": ["/bin/busybox", "sh", "-c", "[ $(id -u) = 0 ] && cat /sec/key"]},
            "initial_delay_seconds": 0, "period_seconds": 1, "timeout_seconds": 10, "success_threshold": 1,
            "failure_threshold": 3});
        edit(m);
    })
}

#[test]
fn a_pod_whose_root_is_nobody_on_the_node() {
    if !can_run() {
        return;
    }
    let network: Network = serde_json::from_value(json!({
        "pod_cidr": "10.81.0.0/24", "service_cidr": "10.82.0.0/16", "domain": "cluster.local", "services": []}))
    .unwrap();
    let mut node = Node::networked(&network);
    let pods = vec![
        users(&mut node, "one", 61_001, |_| ()),
        users(&mut node, "two", 61_002, |m| {
            m["share_process_namespace"] = true.into();
            m["fs_group"] = 2000.into();
            m["containers"][0]["security"] = json!({"privileged": true});
        }),
    ];
    node.want(pods.clone());
    node.start(&[]);
    for pod in ["one", "two"] {
        let text = said(&node, pod);
        for words in ["0\nhidden\nhidden\nsecret of 0\n", "file of 0\nfile of 0\n", "read-only"] {
            assert!(text.contains(words), "{pod}: {words} is not in {text}");
        }
        // Root of its own mounts, where it is privileged.
        assert_eq!(text.contains("no mount"), pod == "one", "{text}");
        node.wait(pod, "ready", |status| status["ready"] == true);
    }
    // Nobody on the node, and not the same nobody.
    let (one, of_one) = process("sleep 61001");
    let (_, of_two) = process("sleep 61002");
    for own in [&of_one, &of_two] {
        assert!(own.iter().all(|uid| *uid >= BLOCK && uid.is_multiple_of(BLOCK)), "{own:?}");
    }
    assert_ne!(of_one, of_two);
    // What they made in volumes is root's, so that it outlives these numbers.
    let folder = node.data().join("pods").join(node.uid("one"));
    for file in
        [folder.join("volumes/disk/file"), folder.join("volumes/mem/file"), node.host_folder().join("file")]
    {
        assert_eq!(fs::metadata(&file).unwrap().uid(), 0, "{}", file.display());
    }
    // A file of the node's root that others may not read is not the pod's, though it sees its numbers as root.
    let outside = format!("/proc/{one}/root/file");
    assert_eq!(fs::metadata(&outside).unwrap().uid(), of_one[0]);
    let said = exec(&node, "one", "id -u; cat /proc/self/uid_map");
    assert!(said.starts_with("0\n") && said.contains(&of_one[0].to_string()), "{said}");
    assert!(
        !exec(&node, "two", "ls /dev").contains("loop-control"),
        "a privileged pod has the node's devices"
    );
    // Over the network, from one to the other.
    let status = node.wait_pod("two", "with an address", |status| status["ip"].is_string());
    let address = status["ip"].as_str().unwrap();
    let page = until("the page is there", || {
        Some(exec(&node, "one", &format!("wget -q -O - http://{address}:8080/")))
            .filter(|page| page == "two\n")
    });
    assert_eq!(page, "two\n");
    // Another agent adopts them: same processes, same users.
    node.kill();
    node.start(&[]);
    node.wait_up();
    for pod in ["one", "two"] {
        node.wait(pod, "ready", |status| {
            status["ready"] == true && status["restart_count"].as_u64().unwrap_or(0) == 0
        });
    }
    assert_eq!(process("sleep 61001"), (one, of_one.clone()));
    assert_eq!(exec(&node, "one", "cat /sec/key"), "hidden");
    // A container that ends starts again, in the same namespaces.
    assert!(std::process::Command::new("kill").args(["-9", &one.to_string()]).status().unwrap().success());
    node.wait("one", "ready again", |status| status["restart_count"] == 1 && status["ready"] == true);
    let (_, again) = process("sleep 61001");
    assert_eq!(again, of_one, "another attempt, the same users");
    // One goes, the other stays; nothing of the first is left.
    node.terminate();
    node.want(pods[1..].to_vec());
    node.start(&[]);
    node.wait_up();
    node.wait_gone("one");
    assert!(!node.run_dir().join("pods").join(node.uid("one")).exists());
    node.wait("two", "ready", |status| status["ready"] == true);
    node.clear();
}

#[test]
fn volumes_whose_owners_cannot_be_mapped_are_refused() {
    if !can_run() {
        return;
    }
    let network: Network = serde_json::from_value(json!({
        "pod_cidr": "10.83.0.0/24", "service_cidr": "10.84.0.0/16", "domain": "cluster.local", "services": []}))
    .unwrap();
    let mut node = Node::networked(&network);
    let pod = node.pod("users", "echo done; exec sleep 1000", |m| {
        m["host_network"] = false.into();
        m["user_namespace"] = true.into();
        m["volumes"] = json!([{"name": "host", "source": {"hostPath": {"path": "/proc/sys/kernel", "kind": "Directory"}}}]);
        m["containers"][0]["mounts"] = json!([{"volume": "host", "path": "/kernel"}]);
    });
    node.want(vec![pod]);
    node.start(&[]);
    node.wait("users", "refused", |status| {
        let text = status.to_string();
        text.contains("hostUsers: false") && text.contains("/kernel")
    });
    node.clear();
}
