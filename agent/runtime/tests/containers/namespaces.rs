use std::fs;

use gannet_agent_runtime::Status;
use nix::sys::signal::Signal;

use crate::fixture::{Fixture, alive, kill, shim_of, wait_until};

/// The pid of the process that holds a pod's process namespace.
fn pause_of(fixture: &Fixture, pod: &gannet_protocols_model::PodUid) -> i32 {
    let path = fixture.run_dir().join("pods").join(pod.as_str()).join("ns/pause.json");
    let value: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    i32::try_from(value["pid"].as_i64().unwrap()).unwrap()
}

pub(crate) async fn processes_are_shared() {
    let mut fixture = Fixture::new().await;
    let mut sandbox = fixture.sandbox();
    sandbox.share_pid = true;
    let pod = sandbox.uid.clone();
    fixture.runtime().ensure_pod(sandbox).await.unwrap();
    let first = fixture.run(&pod, fixture.container("a-0", "sleep 1000")).await;
    let second = fixture.run(&pod, fixture.container("b-0", "sleep 2000")).await;
    let seen = fixture.exec(&pod, "a-0", &["sh", "-c", "cat /proc/[0-9]*/cmdline | grep -c sleep"]).await;
    assert_eq!(seen, "1\n", "one line without an end: both sleeps");
    let seen = fixture.exec(&pod, "b-0", &["sh", "-c", "cat /proc/1/comm; cat /proc/[0-9]*/comm"]).await;
    assert!(seen.starts_with("pause\n") && seen.matches("sleep\n").count() == 2, "{seen}");
    // The first process cannot be looked into, and signals from inside do not reach it.
    let pause = pause_of(&fixture, &pod);
    let script = "ls /proc/1/root/ 2>&1; ls -l /proc/1/exe 2>&1; kill -9 1; kill 1; echo tried";
    let seen = fixture.exec(&pod, "b-0", &["sh", "-c", script]).await;
    assert!(seen.contains("tried") && !seen.contains("etc") && !seen.contains("->"), "{seen}");
    assert!(alive(pause));
    // What a container leaves behind ends with it, and so does nothing else.
    fixture.run(&pod, fixture.container("c-0", "sleep 3000 & sleep 0.1; echo left it; exit 0")).await;
    assert_eq!(fixture.exit_of("c-0").await.code, 0);
    let count = ["sh", "-c", "cat /proc/[0-9]*/cmdline | grep -c 3000"];
    let seen = fixture.runtime();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let argv = count.map(str::to_owned).to_vec();
        let left =
            seen.exec(&pod, "a-0", argv, std::time::Duration::from_secs(20), 100).await.unwrap().output;
        // The command line of the counting shell itself.
        if left == "1\n" || left == "0\n" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{left}");
    }
    fixture.runtime().delete(&pod, "c-0").await.unwrap();
    // The shim dies: nothing in the namespace does, and another container joins it.
    kill(shim_of(&pod), Signal::SIGKILL);
    fixture.wait_for_status(&pod, "a-0", Status::Running).await;
    assert!(alive(pause) && alive(first) && alive(second));
    fixture.run(&pod, fixture.container("d-0", "sleep 1000")).await;
    assert_eq!(pause_of(&fixture, &pod), pause);
    // Its first process dies, and all with it; the next container gets a new namespace.
    kill(pause, Signal::SIGKILL);
    for id in ["a-0", "b-0", "d-0"] {
        let status = fixture.wait_for_status(&pod, id, Status::Exited).await;
        assert_eq!(status.exit.unwrap().code, 137);
    }
    fixture.run(&pod, fixture.container("e-0", "sleep 1000")).await;
    let fresh = pause_of(&fixture, &pod);
    assert!(fresh != pause && alive(fresh));
    fixture.finish().await;
    wait_until("the namespace ends with the pod", || !alive(fresh)).await;
}

pub(crate) async fn the_hosts_processes() {
    let mut fixture = Fixture::new().await;
    let mut sandbox = fixture.sandbox();
    sandbox.host_pid = true;
    let pod = sandbox.uid.clone();
    fixture.runtime().ensure_pod(sandbox).await.unwrap();
    let host = fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
    let script = "readlink /proc/self/ns/pid; sleep 4321 & echo $!; exit 0";
    let output = fixture.output_of(&pod, fixture.container("a-0", script)).await;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], host);
    // No namespace ends what it left, so its cgroup does.
    let left: i32 = lines[1].parse().unwrap();
    wait_until("what it left has ended", || !alive(left)).await;
    let pid = fixture.run(&pod, fixture.container("b-0", "sleep 1000")).await;
    let seen = fixture.exec(&pod, "b-0", &["cat", &format!("/proc/{pid}/comm")]).await;
    assert_eq!(seen, "sleep\n", "the host's number is the container's");
    fixture.finish().await;
}

pub(crate) async fn kernel_parameters() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let name = "net.ipv4.ip_unprivileged_port_start";
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced";
    let container = fixture.container_with("a-0", &["sh", "-c", script], |spec| {
        spec["linux"]["sysctl"] = serde_json::json!({name: "80", "kernel.shm_rmid_forced": "1"});
    });
    assert_eq!(fixture.output_of(&pod, container).await, "80\n1\n");
    let other = fixture.pod().await;
    let container = fixture.container("b-0", script);
    assert_eq!(fixture.output_of(&other, container).await, "1024\n0\n", "another pod's stay as they are");
    fixture.finish().await;
}

pub(crate) async fn a_command_is_where_its_container_is() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let container = fixture.container_with("a-0", &["sleep", "1000"], |spec| {
        spec["process"]["oomScoreAdj"] = 321.into();
        spec["process"]["env"].as_array_mut().unwrap().push("GREETING=hello there".into());
        spec["process"]["cwd"] = "/tmp".into();
    });
    let pid = fixture.run(&pod, container).await;
    let script = "for n in net ipc uts pid mnt cgroup user; do \
                  [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo $n differs; done; \
                  cat /proc/self/oom_score_adj; echo $GREETING; pwd; ls /proc/self/fd | wc -l";
    let seen = fixture.exec(&pod, "a-0", &["sh", "-c", script]).await;
    // Standard input, output, error, and the folder that is being listed.
    assert_eq!(seen, "321\nhello there\n/tmp\n4\n");
    let of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let runtime = fixture.runtime().clone();
    let (uid, time) = (pod.clone(), std::time::Duration::from_secs(2));
    let argv = ["sh", "-c", "sleep 7654"].map(str::to_owned).to_vec();
    let running = tokio::spawn(async move { runtime.exec(&uid, "a-0", argv, time, 10).await });
    let found = || {
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().into_string().ok());
        let is = |pid: &String| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|l| l.starts_with("sleep\x007654"))
                || fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|l| l.ends_with("sleep 7654\0"))
        };
        pids.into_iter().find(is)
    };
    wait_until("the command runs", || found().is_some()).await;
    assert_eq!(of(&found().unwrap()), of(&pid.to_string()), "the same cgroups");
    assert!(running.await.unwrap().unwrap().timed_out);
    fixture.finish().await;
}
