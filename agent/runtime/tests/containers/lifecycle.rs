use std::time::Duration;

use gannet_agent_runtime::{Changed, ErrorKind, LogLimits, Status};
use nix::sys::signal::Signal;

use crate::fixture::Fixture;

pub(crate) async fn output_and_exit_code() {
    let mut fixture = Fixture::new().await;
    let sandbox = fixture.sandbox();
    let pod = sandbox.uid.clone();
    assert_eq!(fixture.runtime().ensure_pod(sandbox.clone()).await.unwrap(), Changed::Yes);
    assert_eq!(fixture.runtime().ensure_pod(sandbox).await.unwrap(), Changed::No);
    let container = fixture.container("a-0", "echo out; echo err >&2; printf tail; exit 7");
    fixture.runtime().create(&pod, container.clone()).await.unwrap();
    assert_eq!(fixture.status(&pod, "a-0").await.unwrap().status, Status::Created);
    let again = fixture.runtime().create(&pod, container).await.unwrap_err();
    assert_eq!(again.kind(), Some(ErrorKind::Exists));
    fixture.runtime().start_container(&pod, "a-0").await.unwrap();
    let exit = fixture.exit_of("a-0").await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed, exit.known), (7, None, false, true));
    let log = fixture.log("a-0");
    let mut entries: Vec<String> = log.lines().map(|l| l.split_once(' ').unwrap().1.to_owned()).collect();
    entries.sort();
    assert_eq!(entries, ["stderr F err", "stdout F out", "stdout F tail"], "{log}");
    assert!(log.starts_with("20") && log.as_bytes()[29] == b'Z', "{log}");
    let status = fixture.wait_for_status(&pod, "a-0", Status::Exited).await;
    assert_eq!(status.exit, Some(exit));
    assert_eq!(
        fixture.runtime().start_container(&pod, "a-0").await.unwrap_err().kind(),
        Some(ErrorKind::BadState)
    );
    for _ in 0..2 {
        fixture.runtime().delete(&pod, "a-0").await.unwrap();
        assert_eq!(fixture.status(&pod, "a-0").await, None);
    }
    // The same id may come again.
    let output = fixture.container("a-0", "echo again");
    assert!(fixture.output_of(&pod, output).await.ends_with("again\n"));
    fixture.runtime().delete(&pod, "a-0").await.unwrap();
    // One that was never started.
    fixture.runtime().create(&pod, fixture.container("b-0", "true")).await.unwrap();
    fixture.runtime().delete(&pod, "b-0").await.unwrap();
    fixture.finish().await;
}

pub(crate) async fn signals() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let script = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    fixture.run(&pod, fixture.container("term-0", script)).await;
    fixture.wait_for_line("term-0", "ready").await;
    fixture.runtime().signal(&pod, "term-0", Signal::SIGTERM as i32).await.unwrap();
    let exit = fixture.exit_of("term-0").await;
    assert_eq!((exit.code, exit.signal), (3, None));
    assert!(fixture.lines("term-0").ends_with("asked\n"));
    // It has got all that it needs.
    fixture.runtime().signal(&pod, "term-0", Signal::SIGKILL as i32).await.unwrap();

    fixture.run(&pod, fixture.container("kill-0", "sleep 1000")).await;
    fixture.runtime().signal(&pod, "kill-0", Signal::SIGKILL as i32).await.unwrap();
    let exit = fixture.exit_of("kill-0").await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), false));
    assert!(fixture.runtime().signal(&pod, "kill-0", 9).await.is_ok());
    assert_eq!(
        fixture.runtime().signal(&pod, "nobody", 9).await.unwrap_err().kind(),
        Some(ErrorKind::NotFound)
    );
    // Deleting one that runs kills it.
    fixture.run(&pod, fixture.container("busy-0", "sleep 1000")).await;
    fixture.runtime().delete(&pod, "busy-0").await.unwrap();
    fixture.finish().await;
}

pub(crate) async fn programs_that_cannot_be_executed() {
    let mut fixture = Fixture::new().await;
    let root = fixture.path("rootfs");
    std::fs::write(root.join("bin/plain"), "text").unwrap();
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(root.join("bin").join(name), text).unwrap();
        std::fs::set_permissions(root.join("bin").join(name), std::fs::Permissions::from_mode(0o755))
            .unwrap();
    };
    script("lost", "#!/bin/no-such-interpreter\n");
    script("garbage", "\u{1}\u{2}\u{3}");
    let pod = fixture.pod().await;
    let table = [
        ("nosuch", ErrorKind::Start, "exec: \"nosuch\": executable file not found in $PATH"),
        (
            "/bin/nosuch",
            ErrorKind::Start,
            "exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory",
        ),
        ("plain", ErrorKind::Start, "exec: \"plain\": permission denied"),
        ("/tmp", ErrorKind::Start, "exec: \"/tmp\": is a directory"),
    ];
    for (program, kind, words) in table {
        let container = fixture.container_with("bad-0", &[program], |_| {});
        let err = fixture.runtime().create(&pod, container).await.unwrap_err();
        assert_eq!((err.kind(), err.to_string().as_str()), (Some(kind), words));
        assert_eq!(fixture.status(&pod, "bad-0").await, None, "nothing is left of it");
    }
    // These are seen only by trying.
    for (program, words) in [("lost", "no such file or directory"), ("garbage", "exec format error")] {
        fixture.runtime().create(&pod, fixture.container_with("late-0", &[program], |_| {})).await.unwrap();
        let err = fixture.runtime().start_container(&pod, "late-0").await.unwrap_err();
        assert_eq!(
            (err.kind(), err.to_string()),
            (Some(ErrorKind::Start), format!("exec: {program:?}: {words}"))
        );
        let exit = fixture.exit_of("late-0").await;
        assert_eq!((exit.code, exit.message), (128, Some(err.to_string())));
        fixture.runtime().delete(&pod, "late-0").await.unwrap();
    }
    // A mount that fails names its cause.
    let mount = serde_json::json!({"destination": "/tmp", "type": "bind", "source": "/no/such/source", "options": ["bind"]});
    let container =
        fixture.container_with("bad-0", &["true"], |spec| spec["mounts"].as_array_mut().unwrap().push(mount));
    let err = fixture.runtime().create(&pod, container).await.unwrap_err();
    assert_eq!(err.kind(), Some(ErrorKind::Create));
    assert!(err.to_string().contains("/no/such/source"), "{err}");
    fixture.finish().await;
}

pub(crate) async fn out_of_memory() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let limit = serde_json::json!({"limit": 16 << 20, "swap": 16 << 20});
    let hungry = ["sh", "-c", "echo begun; tail /dev/zero"];
    let container =
        fixture.container_with("hungry-0", &hungry, |spec| spec["linux"]["resources"]["memory"] = limit);
    fixture.run(&pod, container).await;
    let exit = fixture.exit_of("hungry-0").await;
    assert_eq!((exit.code, exit.oom_killed), (137, true), "{exit:?}");
    fixture.finish().await;
}

pub(crate) async fn commands_in_a_container() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    fixture.run(&pod, fixture.container("a-0", "sleep 1000")).await;
    let time = Duration::from_secs(20);
    let run = |argv: &[&str], limit: usize| {
        let argv = argv.iter().map(ToString::to_string).collect();
        let runtime = fixture.runtime().clone();
        let pod = pod.clone();
        async move { runtime.exec(&pod, "a-0", argv, time, limit).await }
    };
    let outcome = run(&["sh", "-c", "echo out; echo err >&2; exit 5"], 1000).await.unwrap();
    assert_eq!((outcome.exit_code, outcome.output.as_str(), outcome.timed_out), (5, "out\nerr\n", false));
    let outcome = run(&["sh", "-c", "kill -9 $$"], 1000).await.unwrap();
    assert_eq!(outcome.exit_code, 137);
    let outcome = run(&["seq", "100000"], 10).await.unwrap();
    assert_eq!((outcome.exit_code, outcome.output.as_str()), (0, "1\n2\n3\n4\n5\n"));
    let err = run(&["nosuch"], 10).await.unwrap_err();
    assert_eq!(err.to_string(), "exec: \"nosuch\": executable file not found in $PATH");
    assert_eq!(err.kind(), Some(ErrorKind::Start));
    // Many at once, and no socket of theirs stays.
    let outcomes = futures_of((0..8).map(|n| run_owned(fixture.runtime().clone(), pod.clone(), n))).await;
    assert_eq!(outcomes, (0..8).map(|n| n.to_string() + "\n").collect::<Vec<_>>());
    let state = fixture.run_dir().join("pods").join(pod.as_str()).join("runc/a-0");
    let names = std::fs::read_dir(state).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.starts_with("tenant")).collect();
    assert!(left.is_empty(), "{left:?}");
    fixture.runtime().create(&pod, fixture.container("b-0", "true")).await.unwrap();
    let err = fixture.runtime().exec(&pod, "b-0", vec!["true".into()], time, 10).await.unwrap_err();
    assert_eq!(err.kind(), Some(ErrorKind::BadState), "not started yet");
    fixture.finish().await;
}

async fn run_owned(
    runtime: gannet_agent_runtime::Runtime,
    pod: gannet_protocols_model::PodUid,
    n: u32,
) -> String {
    let argv = vec!["echo".to_owned(), n.to_string()];
    runtime.exec(&pod, "a-0", argv, Duration::from_secs(20), 100).await.unwrap().output
}

async fn futures_of<F: Future<Output = String> + Send + 'static>(
    all: impl Iterator<Item = F>,
) -> Vec<String> {
    let mut set = tokio::task::JoinSet::new();
    for (n, one) in all.enumerate() {
        set.spawn(async move { (n, one.await) });
    }
    let mut done = set.join_all().await;
    done.sort();
    done.into_iter().map(|(_, output)| output).collect()
}

pub(crate) async fn a_command_that_takes_too_long() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    fixture.run(&pod, fixture.container("a-0", "sleep 1000")).await;
    let argv = ["sh", "-c", "echo begun; sleep 1000"].map(str::to_owned).to_vec();
    let begun = std::time::Instant::now();
    let outcome = fixture.runtime().exec(&pod, "a-0", argv, Duration::from_millis(300), 100).await.unwrap();
    assert_eq!((outcome.exit_code, outcome.output.as_str(), outcome.timed_out), (137, "begun\n", true));
    assert!(begun.elapsed() < Duration::from_secs(10));
    // What it started is gone as well.
    let argv = ["sh", "-c", "ls /proc | grep -c '^[0-9]'"].map(str::to_owned).to_vec();
    let outcome = fixture.runtime().exec(&pod, "a-0", argv, Duration::from_secs(20), 100).await.unwrap();
    assert!(outcome.output.trim().parse::<u32>().unwrap() <= 5, "{outcome:?}");
    // One that closes its output and runs on.
    let argv = ["sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 4"].map(str::to_owned).to_vec();
    let outcome = fixture.runtime().exec(&pod, "a-0", argv, Duration::from_secs(20), 100).await.unwrap();
    assert_eq!((outcome.exit_code, outcome.timed_out), (4, false));
    fixture.finish().await;
}

pub(crate) async fn logs_are_rotated() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let mut container = fixture.container("chatty-0", "seq 1 20000");
    container.log_limits = LogLimits { max_bytes: 256 * 1024, max_files: 3 };
    fixture.run(&pod, container).await;
    assert_eq!(fixture.exit_of("chatty-0").await.code, 0);
    let path = |suffix: &str| fixture.path("logs").join(format!("chatty-0.log{suffix}"));
    let sizes = ["", ".1", ".2"].map(|suffix| path(suffix).metadata().unwrap().len());
    assert!(sizes.iter().all(|&size| size <= 256 * 1024), "{sizes:?}");
    assert!(!path(".3").exists());
    assert!(fixture.lines("chatty-0").ends_with("\n19999\n20000\n"));
    assert_eq!(fixture.status(&pod, "chatty-0").await.unwrap().log_dropped, 0);
    fixture.finish().await;
}

pub(crate) async fn usage_is_read() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    fixture.run(&pod, fixture.container("a-0", "seq 1 100000 > /dev/null; echo worked; sleep 1000")).await;
    fixture.wait_for_line("a-0", "worked").await;
    let usage = fixture.runtime().stats(&pod).await.unwrap()["a-0"];
    assert!(usage.cpu_nanos > 0 && usage.memory_bytes > 0, "{usage:?}");
    fixture.finish().await;
}
