use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use gannet_agent_shim::frame::{Decoder, encode};
use gannet_agent_shim::{ErrorKind, ServerFrame};
use gannet_protocols_model::PodUid;

use nix::sys::stat::{Mode, SFlag, major, makedev, minor, mknod};

use crate::fixture::Fixture;

const NAMESPACES: [&str; 6] = ["net", "ipc", "uts", "pid", "mnt", "cgroup"];

pub(crate) async fn a_pod_shares_namespaces() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let script = "hostname; for n in net ipc uts pid mnt cgroup; do readlink /proc/self/ns/$n; done";
    let mut seen = Vec::new();
    for id in ["a-0", "b-0"] {
        let output = fixture.output_of(&pod, fixture.container(id, &format!("{script}; exit 0"))).await;
        let lines: Vec<String> = output.lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "web-1");
        seen.push(lines[1..].to_vec());
    }
    // The first ended before the second began, so numbers of its own namespaces may come again: run two at once for those.
    let host = NAMESPACES
        .map(|name| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string());
    for (at, name) in NAMESPACES.iter().enumerate() {
        assert_ne!(seen[0][at], host[at], "{name} is the host's");
        if at < 3 {
            assert_eq!(seen[0][at], seen[1][at], "{name} is not shared");
        }
    }
    let c = fixture.run(&pod, fixture.container("c-0", "sleep 1000")).await;
    let d = fixture.run(&pod, fixture.container("d-0", "sleep 1000")).await;
    for (at, name) in NAMESPACES.iter().enumerate() {
        let link = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(link(c) == link(d), at < 3, "{name}");
    }
    // On the host's network a pod has the host's name too.
    let mut sandbox = fixture.sandbox();
    (sandbox.netns, sandbox.host_ipc) = (None, true);
    let host_pod = sandbox.uid.clone();
    fixture.runtime().ensure_pod(sandbox).await.unwrap();
    let output = fixture.output_of(&host_pod, fixture.container("h-0", script)).await;
    let lines: Vec<&str> = output.lines().skip(1).collect();
    for at in 0..3 {
        assert_eq!(lines[at], host[at], "{} should be the host's", NAMESPACES[at]);
    }
    fixture.finish().await;
}

/// A container that could write there would lift its own limits.
pub(crate) async fn cgroups_cannot_be_written() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let script = "cd /sys/fs/cgroup; for d in . */; do mkdir $d/own 2>/dev/null && echo made $d; \
        for f in $d/memory.limit_in_bytes $d/memory.max $d/pids.max $d/cpu.cfs_quota_us $d/cgroup.procs; do \
        [ -e $f ] && echo -1 2>/dev/null >$f && echo wrote $f; done; done; echo end";
    let output = fixture.output_of(&pod, fixture.container("a-0", script)).await;
    assert_eq!(output, "end\n");
    let looks = fixture
        .container("b-0", "cat /sys/fs/cgroup/*/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; echo end");
    let seen = fixture.output_of(&pod, looks).await;
    assert!(seen.lines().count() > 1, "no cgroup is mounted: {seen}");
    fixture.finish().await;
}

/// The lines of `/proc/self/status` that say how a process is confined.
fn confinement(status: &str) -> BTreeMap<String, String> {
    const KEYS: &[&str] = &[
        "Uid",
        "Gid",
        "Groups",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "SigBlk",
        "SigIgn",
    ];
    let fields = status.lines().filter_map(|line| line.split_once(':'));
    fields
        .filter(|(key, _)| KEYS.contains(key))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

async fn init_and_command(
    fixture: &Fixture,
    pod: &PodUid,
    id: &str,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let argv = |path: &str| vec!["cat".to_owned(), path.to_owned()];
    let time = Duration::from_secs(20);
    let init = fixture.runtime().exec(pod, id, argv("/proc/1/status"), time, 10_000).await.unwrap();
    let command = fixture.runtime().exec(pod, id, argv("/proc/self/status"), time, 10_000).await.unwrap();
    (confinement(&init.output), confinement(&command.output))
}

/// The bits of the default capabilities.
const DEFAULT_CAPABILITIES: &str = "00000000a00425fb";

pub(crate) async fn confined_as_engines_do() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    for (id, uid, effective) in [("root-0", 0, DEFAULT_CAPABILITIES), ("user-0", 1000, "0000000000000000")] {
        let user = serde_json::json!({"uid": uid, "gid": uid, "additionalGids": [5, 2000]});
        let container = fixture.container_with(id, &["sleep", "1000"], |spec| spec["process"]["user"] = user);
        fixture.run(&pod, container).await;
        let (init, command) = init_and_command(&fixture, &pod, id).await;
        assert_eq!(init, command, "a command in {id} is not confined as its first process");
        let expect = [
            ("Seccomp", "2"),
            ("NoNewPrivs", "1"),
            ("CapBnd", DEFAULT_CAPABILITIES),
            ("CapEff", effective),
            ("CapAmb", "0000000000000000"),
            ("SigBlk", "0000000000000000"),
        ];
        // The two signals that the C library keeps for itself cannot be reset through it.
        assert!(["0000000000000000", "0000000180000000"].contains(&init["SigIgn"].as_str()), "{init:?}");
        for (key, value) in expect {
            assert_eq!(init[key], value, "{id} {key}: {init:?}");
        }
        assert_eq!(init["Uid"], format!("{uid}\t{uid}\t{uid}\t{uid}"));
        assert_eq!(init["Groups"], "5 2000");
    }
    let script = "unshare -U true && echo made a user namespace; mkdir /x && echo wrote; cat /proc/kcore | head -c 1 | wc -c;
        touch /proc/sys/kernel/hostname && echo wrote a sysctl; true | cat && echo forked; echo to the device > /dev/stdout";
    let user = serde_json::json!({"uid": 1000, "gid": 1000});
    let args = ["sh", "-c", script];
    let container = fixture.container_with("probe-0", &args, |spec| spec["process"]["user"] = user);
    let output = fixture.output_of(&pod, container).await;
    assert!(!output.contains("made") && !output.contains("wrote"), "{output}");
    assert!(
        ["forked", "0", "to the device"].iter().all(|want| output.lines().any(|line| line == *want)),
        "{output}"
    );
    fixture.finish().await;
}

pub(crate) async fn privileges_may_be_gained_under_a_filter() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    for (id, uid, value) in [("f-0", 0, Some(false)), ("f-1", 1000, Some(false)), ("n-0", 0, None)] {
        let container = fixture.container_with(id, &["sleep", "1000"], |spec| {
            spec["process"]["user"] = serde_json::json!({"uid": uid, "gid": uid});
            match value {
                Some(value) => spec["process"]["noNewPrivileges"] = value.into(),
                None => drop(spec["process"].as_object_mut().unwrap().remove("noNewPrivileges")),
            }
        });
        fixture.run(&pod, container).await;
        let (init, command) = init_and_command(&fixture, &pod, id).await;
        assert_eq!(init, command, "{id}");
        let effective = if uid == 0 { DEFAULT_CAPABILITIES } else { "0000000000000000" };
        let want =
            [("Seccomp", "2"), ("NoNewPrivs", "0"), ("CapBnd", DEFAULT_CAPABILITIES), ("CapEff", effective)];
        for (key, value) in want {
            assert_eq!(init[key], value, "{id} {key}: {init:?}");
        }
        assert_eq!(init["CapPrm"], effective, "{id}");
    }
    fixture.finish().await;
}

/// One that no container may use by default, and that this machine has.
pub(crate) fn device_of_this_machine() -> (&'static str, u64, u64) {
    let table =
        [("/dev/loop0", "b"), ("/dev/autofs", "c"), ("/dev/fuse", "c"), ("/dev/vda", "b"), ("/dev/sda", "b")];
    let (path, kind) =
        table.into_iter().find(|(path, _)| std::fs::File::open(path).is_ok()).expect("a device to test with");
    let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(path).unwrap());
    (kind, major(number), minor(number))
}

pub(crate) async fn devices_are_denied() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let script = "mknod /dev/loop7 b 7 7 && head -c 1 /dev/loop7 && echo opened; echo fine > /dev/null && head -c 1 /dev/zero | wc -c";
    let container = fixture.container_with("a-0", &["sh", "-c", script], |spec| {
        for set in ["bounding", "effective", "permitted"] {
            spec["process"]["capabilities"][set].as_array_mut().unwrap().push("CAP_MKNOD".into());
        }
        // An empty list: every device, as libcontainer understands it.
        spec["linux"]["resources"] = serde_json::json!({"devices": []});
    });
    let output = fixture.output_of(&pod, container).await;
    assert!(output.contains('1'), "the usual devices work: {output}");
    assert!(output.contains("not permitted") && !output.contains("opened"), "{output}");
    // A node that is there all the same, say from an image: only who asked for the device can open it.
    let (kind, major, minor) = device_of_this_machine();
    std::fs::create_dir(fixture.path("devices")).unwrap();
    let flag = if kind == "b" { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    mknod(&fixture.path("devices/it"), flag, Mode::S_IRUSR, makedev(major, minor)).unwrap();
    for (id, asked) in [("it-0", false), ("it-1", true)] {
        let args = ["sh", "-c", "exec 3< /tmp/it && echo opened"];
        let container = fixture.container_with(id, &args, |spec| {
            let source = fixture.path("devices");
            let mount = serde_json::json!({"destination": "/tmp", "type": "bind", "source": source, "options": ["bind"]});
            spec["mounts"].as_array_mut().unwrap().push(mount);
            if asked {
                let rule = serde_json::json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": "r"});
                spec["linux"]["resources"]["devices"].as_array_mut().unwrap().push(rule);
            }
        });
        let output = fixture.output_of(&pod, container).await;
        assert_eq!(output.contains("opened"), asked, "{kind} {major}:{minor}: {output}");
    }
    fixture.finish().await;
}

pub(crate) async fn one_process_is_enough() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let args = ["sh", "-c", "echo alone; (echo two) || echo no more"];
    let limit = serde_json::json!({"limit": 1});
    let container = fixture.container_with("one-0", &args, |spec| spec["linux"]["resources"]["pids"] = limit);
    let output = fixture.output_of(&pod, container).await;
    assert!(output.contains("alone") && !output.contains("two"), "{output}");
    fixture.finish().await;
}

fn ask(stream: &mut UnixStream, text: &[u8]) -> Option<ServerFrame> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    stream.write_all(&length).unwrap();
    stream.write_all(text).unwrap();
    let mut decoder = Decoder::default();
    let mut bytes = [0; 1024];
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return Some(serde_json::from_slice(&frame).unwrap());
        }
        match stream.read(&mut bytes) {
            Ok(count) if count > 0 => decoder.push(&bytes[..count]),
            _ => return None,
        }
    }
}

pub(crate) async fn what_a_shim_does_not_understand() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let socket = fixture.run_dir().join("pods").join(pod.as_str()).join("shim.sock");
    let connect = || {
        let stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    };
    let mut stream = connect();
    let table: [(&[u8], ErrorKind); 4] = [
        (br#"{"v":9,"seq":4,"op":"checkpoint"}"#, ErrorKind::UnknownRequest),
        (br#"{"v":1,"seq":4,"op":"start"}"#, ErrorKind::Invalid),
        (br#"{"v":1,"seq":4,"op":"start","container":"../x"}"#, ErrorKind::NotFound),
        (
            br#"{"v":1,"seq":4,"op":"create","container":"a","bundle":"/x","cgroup":"/","log_path":"/x/log"}"#,
            ErrorKind::Invalid,
        ),
    ];
    for (text, kind) in table {
        let frame = ask(&mut stream, text).unwrap();
        assert_eq!((frame.seq, frame.error.map(|failure| failure.kind)), (Some(4), Some(kind)));
    }
    assert!(ask(&mut stream, b"no json").is_none(), "the connection is closed");
    let mut stream = connect();
    stream.write_all(&[0xff; 100]).unwrap();
    assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0);
    // A bundle that is not there, and one that is nonsense.
    std::fs::create_dir_all(fixture.path("nonsense")).unwrap();
    std::fs::write(fixture.path("nonsense/launch.json"), "{}").unwrap();
    for bundle in ["missing", "nonsense"] {
        let text = serde_json::json!({
            "v": 1, "seq": 5, "op": "create", "container": "bad-0", "bundle": fixture.path(bundle),
            "cgroup": format!("/gannet/{pod}/bad-0"), "log_path": fixture.path("log"),
        });
        let frame = encode(&text).unwrap();
        let answer = ask(&mut connect(), &frame[4..]).unwrap();
        assert_eq!(answer.error.map(|failure| failure.kind), Some(ErrorKind::Create), "{bundle}");
    }
    // The shim is well.
    let output = fixture.container("a-0", "echo well");
    assert_eq!(fixture.output_of(&pod, output).await, "well\n");
    fixture.finish().await;
}
