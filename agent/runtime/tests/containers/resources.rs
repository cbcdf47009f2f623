use std::fs;
use std::path::{Path, PathBuf};

use gannet_agent_runtime::{DeviceChange, ErrorKind, RuntimeEvent};
use gannet_agent_spec::{DeviceKind, DeviceNode, device_node, limits, pod_limits};
use gannet_protocols_model::{Manifest, PodUid, Resources};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::fixture::{Fixture, kill, shim_of};
use crate::isolation::device_of_this_machine;

/// Where a cgroup's files of this controller are, and whether they are those of v2.
fn place(controller: &str, cgroup: &str) -> (PathBuf, bool) {
    let v1 = Path::new("/sys/fs/cgroup").join(controller).join(cgroup);
    if v1.exists() { (v1, false) } else { (Path::new("/sys/fs/cgroup").join(cgroup), true) }
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file))
        .unwrap_or_else(|e| panic!("{}: {e}", dir.join(file).display()))
        .trim()
        .to_owned()
}

/// Quota of the processor and limit of the memory, as `100000 33554432`; `max` where there is none.
fn in_force(pod: &PodUid, container: Option<&str>) -> String {
    let cgroup = container.map_or_else(|| format!("gannet/{pod}"), |id| format!("gannet/{pod}/{id}"));
    let (cpu, unified) = place("cpu", &cgroup);
    let quota = if unified { read(&cpu, "cpu.max") } else { read(&cpu, "cpu.cfs_quota_us") };
    let quota = quota.split(' ').next().unwrap().replace("-1", "max");
    let (memory, unified) = place("memory", &cgroup);
    let limit = if unified {
        read(&memory, "memory.max")
    } else {
        let (limit, swap) =
            (read(&memory, "memory.limit_in_bytes"), memory.join("memory.memsw.limit_in_bytes"));
        if swap.exists() {
            assert_eq!(limit, fs::read_to_string(swap).unwrap().trim(), "with swap it is the same");
        }
        limit
    };
    let limit = if limit.len() > 18 { "max".to_owned() } else { limit };
    format!("{quota} {limit}")
}

fn asked(text: &str) -> Resources {
    serde_json::from_str(text).unwrap()
}

fn manifest(containers: &[&str]) -> Manifest {
    let one = |r: &&str| format!(r#"{{"name":"c","image":"i","pull_policy":"Never","resources":{r}}}"#);
    let containers: Vec<String> = containers.iter().map(one).collect();
    let text = format!(
        r#"{{"version":1,"restart_policy":"Always","termination_grace_seconds":1,"containers":[{}]}}"#,
        containers.join(",")
    );
    serde_json::from_str(&text).unwrap()
}

pub(crate) async fn limits_change_in_place() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    // Files in memory cannot be taken back.
    let script = "head -c 20000000 /dev/zero > /dev/shm/x; echo filled; sleep 1000";
    let container = fixture.container_with("a-0", &["sh", "-c", script], |spec| {
        spec["linux"]["resources"]["memory"] = serde_json::json!({"limit": 64 << 20, "swap": 64 << 20});
        spec["linux"]["resources"]["cpu"] =
            serde_json::json!({"shares": 512, "quota": 50_000, "period": 100_000});
    });
    fixture.run(&pod, container).await;
    fixture.wait_for_line("a-0", "filled").await;
    assert_eq!(in_force(&pod, Some("a-0")), format!("50000 {}", 64 << 20));
    let runtime = fixture.runtime().clone();
    let resize = |text: &str| {
        let (runtime, pod, limits) = (runtime.clone(), pod.clone(), limits(&asked(text)));
        async move { runtime.resize(&pod, "a-0", limits, None).await }
    };
    let up = format!(r#"{{"cpu_limit":1500,"memory_limit":{}}}"#, 256 << 20);
    let down = format!(r#"{{"cpu_limit":250,"memory_limit":{}}}"#, 96 << 20);
    for (text, expect) in [
        (up.as_str(), format!("150000 {}", 256 << 20)),
        (down.as_str(), format!("25000 {}", 96 << 20)),
        ("{}", "max max".to_owned()),
        (up.as_str(), format!("150000 {}", 256 << 20)),
    ] {
        resize(text).await.unwrap();
        assert_eq!(in_force(&pod, Some("a-0")), expect, "{text}");
    }
    // Below what is used: refused, not killed, and nothing of it is left.
    let err = resize(r#"{"cpu_limit":100,"memory_limit":1048576}"#).await.unwrap_err();
    assert_eq!(err.kind(), Some(ErrorKind::Refused));
    assert!(
        err.to_string().contains("attempting to set memory limit (1048576) below current usage"),
        "{err}"
    );
    assert_eq!(in_force(&pod, Some("a-0")), format!("150000 {}", 256 << 20));
    assert_eq!(fixture.exec(&pod, "a-0", &["echo", "lives"]).await, "lives\n");
    let err = runtime.resize(&pod, "nobody", limits(&asked("{}")), None).await.unwrap_err();
    assert_eq!(err.kind(), Some(ErrorKind::NotFound));
    fixture.finish().await;
}

pub(crate) async fn a_pod_as_a_whole() {
    let mut fixture = Fixture::new().await;
    let full = r#"{"cpu_request":100,"cpu_limit":200,"memory_limit":67108864}"#;
    let mut sandbox = fixture.sandbox();
    sandbox.resources = Some(Box::new(pod_limits(&manifest(&[full, full]))));
    let pod = sandbox.uid.clone();
    fixture.runtime().ensure_pod(sandbox).await.unwrap();
    assert_eq!(in_force(&pod, None), format!("40000 {}", 128 << 20));
    let (cpu, unified) = place("cpu", &format!("gannet/{pod}"));
    if unified {
        assert!(read(&cpu, "cpu.weight").parse::<u64>().unwrap() < 100, "less than others by default");
    } else {
        assert_eq!(read(&cpu, "cpu.shares"), "204");
    }
    let container = |fixture: &Fixture, id: &str| {
        fixture.container_with(id, &["sleep", "1000"], |spec| {
            spec["linux"]["resources"]["memory"] = serde_json::json!({"limit": 64 << 20, "swap": 64 << 20});
            spec["linux"]["resources"]["cpu"] =
                serde_json::json!({"shares": 102, "quota": 20_000, "period": 100_000});
        })
    };
    fixture.run(&pod, container(&fixture, "a-0")).await;
    // A container beyond what the pod had: the pod grows first.
    let more = r#"{"cpu_request":100,"cpu_limit":900,"memory_limit":268435456}"#;
    let whole = pod_limits(&manifest(&[more, full]));
    fixture.runtime().resize(&pod, "a-0", limits(&asked(more)), Some(whole)).await.unwrap();
    assert_eq!(in_force(&pod, Some("a-0")), format!("90000 {}", 256 << 20));
    assert_eq!(in_force(&pod, None), format!("110000 {}", 320 << 20));
    // Another shim keeps what holds now, not what held at first.
    kill(shim_of(&pod), Signal::SIGKILL);
    assert_eq!(fixture.events.recv().await, Some(RuntimeEvent::ShimLost { pod: pod.clone() }));
    fixture.run(&pod, container(&fixture, "b-0")).await;
    assert_eq!(in_force(&pod, None), format!("110000 {}", 320 << 20));
    let back = pod_limits(&manifest(&[full, full]));
    fixture.runtime().resize(&pod, "a-0", limits(&asked(full)), Some(back)).await.unwrap();
    assert_eq!(in_force(&pod, None), format!("40000 {}", 128 << 20));
    fixture.finish().await;
}

pub(crate) async fn devices_come_and_go() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let (kind, major, minor) = device_of_this_machine();
    // A node that is there all the time shows who may use the device.
    fs::create_dir(fixture.path("devices")).unwrap();
    let flag = if kind == "b" { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    mknod(&fixture.path("devices/it"), flag, Mode::S_IRUSR, makedev(major, minor)).unwrap();
    let source = fixture.path("devices");
    let container = fixture.container_with("a-0", &["sleep", "1000"], |spec| {
        let mount =
            serde_json::json!({"destination": "/tmp", "type": "bind", "source": source, "options": ["bind"]});
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
    fixture.run(&pod, container).await;
    let script = "ls -l /dev/bus/it 2>/dev/null; for n in /tmp/it /dev/bus/it; do (exec 3< $n) 2>/dev/null && echo opened $n; done; echo done";
    let look = ["sh", "-c", script];
    assert_eq!(fixture.exec(&pod, "a-0", &look).await, "done\n");
    let node = DeviceNode {
        path_on_node: "/dev/whatever".into(),
        path_in_container: "/dev/bus/it".into(),
        major: i64::try_from(major).unwrap(),
        minor: i64::try_from(minor).unwrap(),
        kind: if kind == "b" { DeviceKind::Block } else { DeviceKind::Char },
        access: "rw".into(),
        mode: None,
        owner: None,
    };
    let change = |remove| DeviceChange { node: device_node(&node, (7, 8)), access: "rw".into(), remove };
    for _ in 0..2 {
        fixture.runtime().change_device(&pod, "a-0", change(false)).await.unwrap();
        let seen = fixture.exec(&pod, "a-0", &look).await;
        assert!(seen.ends_with("opened /tmp/it\nopened /dev/bus/it\ndone\n"), "{seen}");
        let line = seen.lines().next().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((&words[0][1..], words[2], words[3]), ("rw-rw----", "7", "8"), "{line}");
    }
    for _ in 0..2 {
        fixture.runtime().change_device(&pod, "a-0", change(true)).await.unwrap();
        assert_eq!(fixture.exec(&pod, "a-0", &look).await, "done\n");
    }
    // The usual ones are untouched.
    assert_eq!(fixture.exec(&pod, "a-0", &["sh", "-c", "head -c 3 /dev/zero | wc -c"]).await.trim(), "3");
    for (path, access) in [("/etc/passwd", "rw"), ("/dev/../etc/x", "rw"), ("/dev/x", "rwx"), ("/dev/x", "")]
    {
        let mut bad = change(false);
        bad.node.set_path(path.into());
        bad.access = access.into();
        let err = fixture.runtime().change_device(&pod, "a-0", bad).await.unwrap_err();
        assert_eq!(err.kind(), Some(ErrorKind::Invalid), "{path} {access}");
    }
    fixture.finish().await;
}
