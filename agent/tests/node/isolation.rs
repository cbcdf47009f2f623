//! What `securityContext` and the pod's namespaces ask for, through the whole agent: from the manifest to what a process in
//! the container finds.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Node, can_run, until};

/// Runs a pod whose script ends in `echo done`, and gives what it said.
fn said(node: &Node, pod: &str) -> String {
    until("the pod has spoken", || {
        let text = node.logs(&[pod]);
        text.lines().any(|line| line == "done").then_some(text)
    })
}

const STATUS: &str =
    "grep -E '^(Uid|Gid|Groups|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\\t' ' '";

#[test]
fn what_a_process_is_allowed() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let profiles = node.data().with_file_name("seccomp");
    let folder = profiles.join("profiles");
    fs::create_dir_all(&folder).unwrap();
    let config = node.data().with_file_name("agent.toml");
    fs::write(&config, format!("seccomp_dir = '{}'\n", profiles.display())).unwrap();
    node.flags = vec!["--config".into(), config.to_str().unwrap().into()];
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
    });
    fs::write(folder.join("no-mkdir.json"), profile.to_string()).unwrap();
    // The pod, its security, its script, and what it must and must not say.
    type Case = (&'static str, Value, &'static str, &'static [&'static str], &'static [&'static str]);
    let cases: [Case; 6] = [
        (
            "user",
            json!({"run_as_user": 1000, "run_as_group": 2000, "supplemental_groups": [3000],
                   "allow_privilege_escalation": false, "capabilities_drop": ["ALL"], "read_only_root": true}),
            "touch /x || echo cannot write",
            &[
                "Uid: 1000 1000",
                "Gid: 2000 2000",
                "3000",
                "CapEff: 0000000000000000",
                "CapBnd: 0000000000000000",
                "NoNewPrivs: 1",
                "Seccomp: 2",
                "cannot write",
            ],
            &[],
        ),
        (
            "default",
            json!({}),
            "unshare -U true || echo no user namespace; mount -t tmpfs x /etc || echo no mount; \
             ls -d /proc/sys/kernel; (: > /proc/sys/kernel/shm_rmid_forced) || echo no sysctl",
            &[
                "Uid: 0 0",
                "CapBnd: 00000000a0",
                "NoNewPrivs: 0",
                "Seccomp: 2",
                "no user namespace",
                "no mount",
                "no sysctl",
            ],
            &[],
        ),
        (
            "more",
            json!({"capabilities_add": ["SYS_TIME"], "seccomp": "Unconfined"}),
            "true",
            &["CapBnd: 00000000a2", "Seccomp: 0"],
            &[],
        ),
        (
            "profile",
            json!({"seccomp": {"Localhost": "profiles/no-mkdir.json"}}),
            "mkdir /x || echo no folder; touch /y && echo a file",
            &["Seccomp: 2", "no folder", "a file"],
            &[],
        ),
        (
            "privileged",
            json!({"privileged": true}),
            "[ -e /dev/loop-control ] && echo sees devices; mkdir -p /m && mount -t tmpfs x /m && echo mounted; \
             grep -q ' /sys sysfs rw' /proc/mounts && echo writable sys; grep -c tmpfs.*/proc/ /proc/mounts",
            &["Seccomp: 0", "mounted", "writable sys"],
            &["CapEff: 0000000000000000"],
        ),
        ("non-root", json!({"run_as_non_root": true, "run_as_user": 7}), "true", &["Uid: 7 7"], &[]),
    ];
    let pods = cases.iter().map(|(name, security, script, ..)| {
        let script = format!("{STATUS}; {script}; echo done; exec sleep 1000");
        node.pod(name, &script, |m| m["containers"][0]["security"] = security.clone())
    });
    let pods = pods.collect::<Vec<_>>();
    node.want(pods);
    node.start(&[]);
    for (name, _, _, must, never) in &cases {
        let text = said(&node, name);
        for words in *must {
            assert!(text.contains(words), "{name}: {words} is not in {text}");
        }
        for words in *never {
            assert!(!text.contains(words), "{name}: {words} is in {text}");
        }
    }
    node.clear();
}

#[test]
fn namespaces_of_the_pod() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let second = json!({"name": "second", "image": "busybox:1", "pull_policy": "IfNotPresent",
                        "args": ["sleep", "2345"]});
    let shared = node.pod(
        "shared",
        "until cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q 'sleep 2345'; do sleep 0.1; done; \
         cat /proc/1/comm; ls /proc/1/root/ | wc -l; echo done; exec sleep 1000",
        |m| {
            m["share_process_namespace"] = true.into();
            m["containers"].as_array_mut().unwrap().push(second.clone());
        },
    );
    let host = node.pod(
        "host",
        "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; echo done; exec sleep 1000",
        |m| {
            m["host_pid"] = true.into();
            m["host_ipc"] = true.into();
        },
    );
    node.want(vec![shared, host]);
    node.start(&[]);
    let text = said(&node, "shared");
    assert!(text.contains("pause"), "{text}");
    let text = said(&node, "host");
    for name in ["pid", "ipc"] {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
        assert!(text.contains(&ours), "{name}: {text}");
    }
    node.clear();
}

#[test]
fn what_cannot_be_given_is_refused_by_name() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok();
    let security = |value: Value| move |m: &mut Value| m["containers"][0]["security"] = value.clone();
    let mut cases = vec![
        ("seccomp", "profiles/absent.json"),
        ("outside", "etc/passwd"),
        ("sysctl", "forbidden sysctl: \"kernel.msgmax\" not allowlisted"),
        ("shared-sysctl", "not allowed with host net enabled"),
        ("users", "hostUsers: false cannot be used with hostNetwork"),
        ("root", "container has runAsNonRoot and image will run as root"),
        ("proc", "procMount Unmasked needs hostUsers: false"),
    ];
    let mut pods = vec![
        node.pod("seccomp", "true", security(json!({"seccomp": {"Localhost": "profiles/absent.json"}}))),
        node.pod("outside", "true", security(json!({"seccomp": {"Localhost": "../../../etc/passwd"}}))),
        node.pod("sysctl", "true", |m| m["sysctls"] = json!({"kernel.msgmax": "1"})),
        node.pod("shared-sysctl", "true", |m| m["sysctls"] = json!({"net.ipv4.tcp_syncookies": "1"})),
        // Even a node that gives users of its own gives none of these with the node's network.
        node.pod("users", "true", |m| m["user_namespace"] = true.into()),
        node.pod("root", "true", security(json!({"run_as_non_root": true}))),
        node.pod("proc", "true", security(json!({"unmasked_proc": true}))),
    ];
    if !apparmor {
        cases.push(("armor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"));
        pods.push(node.pod("armor", "true", security(json!({"apparmor": {"Localhost": "mine"}}))));
    }
    // One that cannot start never blocks another.
    pods.push(node.pod("well", "echo done; exec sleep 1000", |_| {}));
    node.want(pods);
    node.start(&[]);
    said(&node, "well");
    for (pod, words) in cases {
        node.wait(pod, words, |status| status.to_string().replace("\\\"", "\"").contains(words));
    }
    node.clear();
}

#[test]
fn shared_memory_is_the_pods() {
    if !can_run() {
        return;
    }
    let mut node = Node::new();
    let writer = "echo from-writer >/dev/shm/word; sleep 1000";
    let pod = node.pod("pair", writer, |m| {
        let mut reader = m["containers"][0].clone();
        reader["name"] = json!("reader");
        reader["args"] = json!([
            "sh",
            "-c",
            "until cat /dev/shm/word; do sleep 0.1; done 2>/dev/null; echo done; sleep 1000"
        ]);
        m["containers"].as_array_mut().unwrap().push(reader);
    });
    let other = node.pod("other", "ls /dev/shm; echo done; sleep 1000", |_| ());
    node.want(vec![pod, other]);
    node.start(&["--stop-pods-on-exit"]);
    let seen = until("the reader has it", || {
        let text = node.logs(&["pair", "-c", "reader"]);
        text.contains("done").then_some(text)
    });
    assert_eq!(seen, "from-writer\ndone\n");
    assert_eq!(said(&node, "other"), "done\n", "another pod has memory of its own");
    node.terminate();
    assert_eq!(node.left_overs(), Vec::<String>::new());
}
