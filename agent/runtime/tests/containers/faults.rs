//! SIGKILL at each fault point: whatever is asked for then comes true all the same, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use gannet_agent_runtime::{ContainerSpec, PodSandbox, Runtime, RuntimeConfig, RuntimeEvent, Status, fault};
use gannet_agent_spec::limits;
use gannet_protocols_model::PodUid;
use nix::sys::signal::Signal;

use crate::fixture::{Fixture, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// Counts its starts in a file of the host, so that a second one shows.
fn counted(fixture: &Fixture) -> ContainerSpec {
    let folder = fixture.path("count");
    fs::create_dir_all(&folder).unwrap();
    fixture.container_with("a-0", &["sh", "-c", "echo ran >> /tmp/ran; exec sleep 1000"], |spec| {
        let mount =
            serde_json::json!({"destination": "/tmp", "type": "bind", "source": folder, "options": ["bind"]});
        spec["mounts"].as_array_mut().unwrap().push(mount);
    })
}

fn runs(folder: &Path) -> usize {
    fs::read_to_string(folder.join("ran")).unwrap_or_default().lines().count()
}

/// Asks for the next step until the container runs, as the agent's plan does: by what there is, not by what was answered.
async fn bring_up(runtime: &Runtime, sandbox: &PodSandbox, container: &ContainerSpec) {
    let (uid, id) = (&sandbox.uid, &container.id);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the container does not run");
        if runtime.ensure_pod(sandbox.clone()).await.is_err() {
            continue;
        }
        match status(runtime, uid, id).await {
            None => drop(runtime.create(uid, container.clone()).await),
            Some(Some(Status::Created)) => drop(runtime.start_container(uid, id).await),
            Some(Some(Status::Running)) => return,
            Some(Some(Status::Exited)) => panic!("the container ended"),
            // Being made, or its shim is away.
            Some(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// None: there is no such container. Some(None): nobody can say.
async fn status(runtime: &Runtime, uid: &PodUid, id: &str) -> Option<Option<Status>> {
    let pods = runtime.pods().await;
    let state = pods.into_iter().find(|(pod, _)| pod == uid)?.1;
    match state {
        Ok(state) => state.containers.iter().find(|c| c.id == id).map(|c| Some(c.status)),
        Err(_) => Some(None),
    }
}

async fn take_down(fixture: &mut Fixture, uid: &PodUid) {
    let runtime = fixture.runtime().clone();
    let deadline = Instant::now() + PATIENCE;
    let _ = runtime.signal(uid, "a-0", Signal::SIGKILL as i32).await;
    while !matches!(status(&runtime, uid, "a-0").await, Some(Some(Status::Exited)) | None) {
        assert!(Instant::now() < deadline, "the container does not end");
        let _ = runtime.signal(uid, "a-0", Signal::SIGKILL as i32).await;
    }
    while let Err(err) = runtime.remove_pod(uid).await {
        assert!(Instant::now() < deadline, "the pod is not removed: {err}");
    }
}

fn arm(file: &Path, point: &str) {
    let new = file.with_extension("new");
    fs::write(&new, point).unwrap();
    fs::rename(&new, file).unwrap();
}

fn zygote_with(file: PathBuf) -> impl Fn(&Path) -> RuntimeConfig {
    move |run_dir| {
        let mut setting = std::ffi::OsString::from(format!("{}=", fault::FILE));
        setting.push(&file);
        let program = std::env::current_exe().unwrap();
        let zygote_command = ("/usr/bin/env".into(), vec![setting, program.into(), "zygote".into()]);
        RuntimeConfig { run_dir: run_dir.to_owned(), zygote_command }
    }
}

pub(crate) async fn anything_may_die_at_any_point() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fault");
    let all = ["zygote.", "shim.", "creator."];
    for point in fault::POINTS.iter().filter(|point| all.iter().any(|who| point.starts_with(who))) {
        let mut fixture = Fixture::with(zygote_with(file.clone())).await;
        arm(&file, point);
        let sandbox = fixture.sandbox();
        let uid = sandbox.uid.clone();
        let container = counted(&fixture);
        bring_up(fixture.runtime(), &sandbox, &container).await;
        let folder = fixture.path("count");
        wait_until(&format!("{point}: it runs"), || runs(&folder) > 0).await;
        let asked = serde_json::from_str(r#"{"cpu_limit":900}"#).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while let Err(err) = fixture.runtime().resize(&uid, "a-0", limits(&asked), None).await {
            assert!(Instant::now() < deadline, "{point}: {err}");
        }
        // Not restarted because something of ours died.
        assert_eq!(status(fixture.runtime(), &uid, "a-0").await, Some(Some(Status::Running)), "{point}");
        assert_eq!(runs(&folder), 1, "{point}: it ran more than once");
        take_down(&mut fixture, &uid).await;
        let ends = std::iter::from_fn(|| fixture.events.try_recv().ok())
            .filter(|event| matches!(event, RuntimeEvent::Exited { .. }))
            .count();
        assert!(ends <= 1, "{point}: its end was told {ends} times");
        assert!(!file.exists(), "{point} was never reached");
        // Nothing is left: processes, mounts, cgroups, folders.
        fixture.finish().await;
    }
}

/// An agent that brings one container up, and dies where the test wants it: `RUN-DIR BASE-DIR POD NETNS`.
pub(crate) fn worker(args: &[String]) -> ExitCode {
    let [run_dir, base, pod, netns] = args else { return ExitCode::FAILURE };
    let uid: PodUid = pod.parse().unwrap();
    let sandbox =
        PodSandbox { netns: Some(netns.into()), ..PodSandbox::new(uid.clone(), "web-1".to_owned()) };
    let text = fs::read(Path::new(base).join("container.json")).unwrap();
    let spec = serde_json::from_slice(&text).unwrap();
    let container = ContainerSpec {
        id: "a-0".to_owned(),
        spec,
        bundle: Path::new(base).join("bundle"),
        log_path: Path::new(base).join("a.log"),
        log_limits: gannet_agent_runtime::LogLimits::default(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = crate::fixture::config(Path::new(run_dir));
        let (runtime, _events) = Runtime::start(config).await.unwrap();
        bring_up(&runtime, &sandbox, &container).await;
        // Recorded as running before anything else happens to it.
        while runs(&Path::new(base).join("count")) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if std::env::var_os("GANNET_TEST_REMOVE").is_some() {
            runtime.delete(&uid, "a-0").await.unwrap();
        }
    });
    ExitCode::SUCCESS
}

pub(crate) async fn the_agent_may_die_at_any_point() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fault");
    for point in fault::POINTS.iter().filter(|point| point.starts_with("runtime.")) {
        let mut fixture = Fixture::new().await;
        let sandbox = fixture.sandbox();
        let uid = sandbox.uid.clone();
        let container = counted(&fixture);
        let base = fixture.path("");
        fs::write(base.join("container.json"), serde_json::to_vec(&container.spec).unwrap()).unwrap();
        fixture.runtime = None;
        arm(&file, point);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("worker").arg(fixture.run_dir()).arg(&base).arg(uid.as_str());
        command.arg(sandbox.netns.as_ref().unwrap()).env(fault::FILE, &file);
        let removes = point.starts_with("runtime.delete");
        if removes {
            command.env("GANNET_TEST_REMOVE", "1");
        }
        let ended = command.status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{point}: {ended}");
        fixture.restart().await;
        if removes {
            assert_eq!(status(fixture.runtime(), &uid, "a-0").await, None, "{point}");
        } else {
            bring_up(fixture.runtime(), &sandbox, &container).await;
            let folder = fixture.path("count");
            wait_until(&format!("{point}: it runs"), || runs(&folder) > 0).await;
        }
        assert_eq!(runs(&fixture.path("count")), 1, "{point}: it ran more than once");
        take_down(&mut fixture, &uid).await;
        fixture.finish().await;
    }
}
