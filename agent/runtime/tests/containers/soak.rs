use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gannet_agent_runtime::{ContainerSpec, Runtime, RuntimeEvent};
use gannet_protocols_model::PodUid;
use tokio::sync::Semaphore;

use crate::fixture::{Fixture, shim_of, wait_until};

/// Lifecycles, and how many at once. `GANNET_SOAK` runs more.
const ROUNDS: usize = 50;
const AT_ONCE: usize = 8;

fn open_files(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn entries(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn private_kilobytes(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

async fn lifecycle(runtime: Runtime, pod: PodUid, container: ContainerSpec) {
    let id = container.id.clone();
    runtime.create(&pod, container).await.unwrap();
    runtime.start_container(&pod, &id).await.unwrap();
    loop {
        let pods = runtime.pods().await;
        let state = pods.into_iter().find(|(uid, _)| *uid == pod).unwrap().1.unwrap();
        if let Some(exit) = state.containers.iter().find(|c| c.id == id).unwrap().exit.clone() {
            assert_eq!(exit.code, 0);
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    runtime.delete(&pod, &id).await.unwrap();
}

pub(crate) async fn nothing_is_left() {
    let rounds = std::env::var("GANNET_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let mut fixture = Fixture::new().await;
    let pods = [fixture.pod().await, fixture.pod().await];
    // One first: what is made once and kept is no leak.
    lifecycle(fixture.runtime().clone(), pods[0].clone(), fixture.container("first", "true")).await;
    lifecycle(fixture.runtime().clone(), pods[1].clone(), fixture.container("first", "true")).await;
    let shims = [shim_of(&pods[0]), shim_of(&pods[1])];
    // Standard input, output and error, lock, signals, socket, connection.
    let files = [7, 7];
    let memory = shims.map(private_kilobytes);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut all = tokio::task::JoinSet::new();
    for n in 0..rounds {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let container = fixture.container(&format!("soak-{n}"), "true");
        let (runtime, pod) = (fixture.runtime().clone(), pods[n % 2].clone());
        all.spawn(async move {
            lifecycle(runtime, pod, container).await;
            drop(slot);
        });
        while let Ok(event) = fixture.events.try_recv() {
            assert!(matches!(event, RuntimeEvent::Exited { .. }), "{event:?}");
        }
    }
    all.join_all().await;
    for (at, pod) in pods.iter().enumerate() {
        let dir = fixture.run_dir().join("pods").join(pod.as_str());
        for name in ["runc", "containers", "exits", "io"] {
            assert_eq!(entries(&dir.join(name)), [""; 0], "{name}");
        }
        // The last answer comes just before the last pipe is closed.
        wait_until("no descriptor is left", || open_files(shims[at]) <= files[at]).await;
        let grown = private_kilobytes(shims[at]).saturating_sub(memory[at]);
        assert!(grown < 400, "the shim grew by {grown} kB");
        let children = format!("/proc/{0}/task/{0}/children", shims[at]);
        let none = || fs::read_to_string(&children).unwrap().is_empty();
        wait_until("the shim has no children", none).await;
        let cgroup = Path::new("/sys/fs/cgroup/memory/gannet").join(pod.as_str());
        if cgroup.exists() {
            assert!(fs::read_dir(cgroup).unwrap().flatten().all(|entry| !entry.path().is_dir()), "cgroups");
        }
    }
    fixture.finish().await;
}
