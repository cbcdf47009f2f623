use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use gannet_agent_runtime::{Runtime, RuntimeEvent, Status};
use nix::sys::signal::Signal;

use crate::fixture::{Fixture, alive, config, kill, processes_with, shim_of, wait_until};

const COUNT: &str = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done";

/// An agent with no other purpose than to be killed: adopts what there is, says so, and stays.
pub(crate) fn agent(run_dir: &str) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (runtime, _events) = Runtime::start(config(run_dir.as_ref())).await.unwrap();
        let pods = runtime.pods().await;
        assert!(pods.iter().all(|(_, state)| state.is_ok()), "{pods:?}");
        println!("adopted {}", pods.len());
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// The numbers of a log, which must go up by one from line to line.
fn assert_no_line_lost(fixture: &Fixture, id: &str) -> u64 {
    let text = fixture.lines(id);
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "lines are lost: {numbers:?}");
    numbers.last().copied().unwrap_or_default()
}

pub(crate) async fn an_agent_that_is_killed() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let pid = fixture.run(&pod, fixture.container("a-0", COUNT)).await;
    fixture
        .run(
            &pod,
            fixture.container("short-0", "while [ ! -e /proc/1/root/nothing ]; do sleep 0.3; exit 9; done"),
        )
        .await;
    fixture.runtime = None;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("agent")
        .arg(fixture.run_dir())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 9];
    child.stdout.take().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"adopted 1");
    child.kill().unwrap();
    child.wait().unwrap();
    let before = fixture.lines("a-0").lines().count();
    wait_until("the container goes on", || fixture.lines("a-0").lines().count() > before + 5).await;
    // The short one has ended with nobody but its shim there.
    let record = fixture.run_dir().join("pods").join(pod.as_str()).join("exits/short-0.json");
    wait_until("the end is recorded", || record.exists()).await;
    fixture.restart().await;
    let exit = fixture.exit_of("short-0").await;
    assert_eq!((exit.code, exit.known), (9, true));
    let status = fixture.status(&pod, "a-0").await.unwrap();
    assert_eq!((status.status, status.pid, status.orphaned), (Status::Running, Some(pid), false));
    assert!(assert_no_line_lost(&fixture, "a-0") > 0);
    fixture.finish().await;
}

pub(crate) async fn a_shim_that_is_killed() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let script = format!("trap 'exit 6' TERM; {COUNT}");
    let pid = fixture.run(&pod, fixture.container("a-0", &script)).await;
    fixture.wait_for_line("a-0", "5").await;
    let first = shim_of(&pod);
    kill(first, Signal::SIGKILL);
    assert_eq!(fixture.events.recv().await, Some(RuntimeEvent::ShimLost { pod: pod.clone() }));
    let status = fixture.wait_for_status(&pod, "a-0", Status::Running).await;
    assert_eq!((status.pid, status.orphaned), (Some(pid), true));
    assert!(alive(pid));
    assert_ne!(shim_of(&pod), first);
    // Its output did not notice: nothing is lost, and it goes on.
    let before = fixture.lines("a-0").lines().count();
    wait_until("output goes on", || fixture.lines("a-0").lines().count() > before + 5).await;
    assert_no_line_lost(&fixture, "a-0");
    // All works as before, but for the exit code.
    let outcome = fixture
        .runtime()
        .exec(&pod, "a-0", vec!["echo".into(), "hi".into()], Duration::from_secs(20), 10)
        .await;
    assert_eq!(outcome.unwrap().output, "hi\n");
    let output = fixture.container("b-0", "echo next");
    assert_eq!(fixture.output_of(&pod, output).await, "next\n");
    fixture.runtime().signal(&pod, "a-0", Signal::SIGTERM as i32).await.unwrap();
    let exit = fixture.exit_of("a-0").await;
    assert_eq!((exit.code, exit.known), (137, false));
    fixture.runtime().delete(&pod, "a-0").await.unwrap();
    assert_eq!(fixture.status(&pod, "a-0").await, None);
    fixture.finish().await;
}

pub(crate) async fn a_shim_that_is_killed_while_it_creates() {
    let mut fixture = Fixture::new().await;
    // Somewhere else each time.
    for round in 0..6_u64 {
        let pod = fixture.pod().await;
        let shim = shim_of(&pod);
        let runtime = fixture.runtime().clone();
        let container = fixture.container("a-0", "sleep 1000");
        let (uid, again) = (pod.clone(), container.clone());
        let creating = tokio::spawn(async move { runtime.create(&uid, container).await });
        tokio::time::sleep(Duration::from_millis(round * 4)).await;
        kill(shim, Signal::SIGKILL);
        let made = creating.await.unwrap();
        // Made and known, or not made and gone: then it can be made again.
        let known = {
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            loop {
                match fixture.runtime().pods().await.into_iter().find(|(uid, _)| *uid == pod).unwrap().1 {
                    Ok(state) => break !state.containers.is_empty(),
                    Err(err) => assert!(std::time::Instant::now() < deadline, "{err}"),
                }
            }
        };
        if made.is_ok() {
            assert!(known, "round {round}: it was said to be made");
        }
        if !known {
            fixture.runtime().create(&pod, again).await.unwrap();
        }
        fixture.runtime().start_container(&pod, "a-0").await.unwrap();
    }
    fixture.finish().await;
}

pub(crate) async fn a_container_that_ends_with_nobody_there() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    let pid = fixture.run(&pod, fixture.container("a-0", "sleep 1000")).await;
    let shim = shim_of(&pod);
    fixture.runtime = None;
    kill(shim, Signal::SIGKILL);
    wait_until("the shim ends", || processes_with(&[pod.to_string()]).is_empty()).await;
    kill(pid, Signal::SIGKILL);
    wait_until("the container ends", || !alive(pid)).await;
    fixture.restart().await;
    let exit = fixture.exit_of("a-0").await;
    assert_eq!((exit.code, exit.known), (137, false));
    assert_eq!(fixture.status(&pod, "a-0").await.unwrap().status, Status::Exited);
    fixture.finish().await;
}

pub(crate) async fn a_zygote_that_is_killed() {
    let mut fixture = Fixture::new().await;
    let first = fixture.pod().await;
    let of_this_test = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent =
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        stat.contains("(gannet-zygote)") && parent == Some(std::process::id())
    };
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let zygotes: Vec<i32> = pids.filter(of_this_test).collect();
    assert!(!zygotes.is_empty());
    zygotes.iter().for_each(|pid| kill(*pid, Signal::SIGKILL));
    let second = fixture.pod().await;
    for pod in [&first, &second] {
        let output = fixture.container("a-0", "echo well");
        assert!(fixture.output_of(pod, output).await.ends_with("well\n"));
    }
    fixture.finish().await;
}
