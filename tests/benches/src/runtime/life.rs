//! Create → running → exit → deleted of `true`, and `true` as a command in a container that runs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gannet_agent_runtime::{ContainerSpec, LogLimits, PodSandbox, Runtime, RuntimeConfig, RuntimeEvent};
use gannet_protocols_model::PodUid;
use tokio::sync::mpsc;

use super::peer::Peer;
use super::{Options, bundle};
use crate::figure::{Samples, millis, table};

/// Longer than a command takes on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The agent's runtime in this process, with the agent's program as zygote.
pub(super) struct Ours {
    pub(super) runtime: Runtime,
    events: mpsc::Receiver<RuntimeEvent>,
    rootfs: std::path::PathBuf,
    dir: std::path::PathBuf,
    pods: Vec<PodUid>,
}

impl Ours {
    pub(super) async fn start(options: &Options, dir: &Path, rootfs: &Path) -> anyhow::Result<Self> {
        let zygote_command = (options.agent.clone(), vec!["zygote".into()]);
        let (runtime, events) =
            Runtime::start(RuntimeConfig { run_dir: dir.join("run"), zygote_command }).await?;
        Ok(Self { runtime, events, rootfs: rootfs.to_owned(), dir: dir.to_owned(), pods: Vec::new() })
    }

    /// A pod on the machine's own network: none of the candidates makes a network.
    pub(super) async fn pod(&mut self) -> anyhow::Result<PodUid> {
        let uid: PodUid = format!("bench-{}-{}", std::process::id(), self.pods.len()).parse()?;
        self.pods.push(uid.clone());
        self.runtime.ensure_pod(PodSandbox::new(uid.clone(), "bench".to_owned())).await?;
        Ok(uid)
    }

    pub(super) async fn run(&self, pod: &PodUid, id: &str, args: &[&str]) -> anyhow::Result<()> {
        self.create(pod, id, args).await?;
        self.runtime.start_container(pod, id).await?;
        Ok(())
    }

    async fn create(&self, pod: &PodUid, id: &str, args: &[&str]) -> anyhow::Result<()> {
        let container = ContainerSpec {
            id: id.to_owned(),
            spec: serde_json::from_value(bundle::spec(&self.rootfs, args))?,
            bundle: self.dir.join("bundles").join(pod.as_str()).join(id),
            log_path: self.dir.join("logs").join(pod.as_str()).join(format!("{id}.log")),
            log_limits: LogLimits::default(),
        };
        self.runtime.create(pod, container).await?;
        Ok(())
    }

    /// How long it took until it was created, executed, ended, and gone.
    async fn life(&mut self, pod: &PodUid, id: &str) -> anyhow::Result<[Duration; 4]> {
        let begun = Instant::now();
        self.create(pod, id, &["true"]).await?;
        let created = begun.elapsed();
        self.runtime.start_container(pod, id).await?;
        let started = begun.elapsed();
        loop {
            match self.events.recv().await.context("the runtime is gone")? {
                RuntimeEvent::Exited { container, exit, .. } if container == id => {
                    anyhow::ensure!(exit.code == 0, "{id} ended with {}", exit.code);
                    break;
                }
                _ => {}
            }
        }
        let ended = begun.elapsed();
        self.runtime.delete(pod, id).await?;
        Ok([created, started, ended, begun.elapsed()])
    }

    pub(super) async fn finish(self) -> anyhow::Result<()> {
        for pod in &self.pods {
            self.runtime.remove_pod(pod).await?;
        }
        Ok(())
    }
}

/// The command lines of the peers.
const OCI: [&str; 2] = ["crun", "runc"];

pub(super) async fn measure(options: &Options, dir: &Path, rootfs: &Path) -> anyhow::Result<()> {
    let mut ours = Ours::start(options, dir, rootfs).await?;
    let pod = ours.pod().await?;
    ours.run(&pod, "idle", &["sleep", "1000"]).await?;
    let short = bundle::write(&dir.join("short"), rootfs, &["true"])?.display().to_string();
    let long = bundle::write(&dir.join("long"), rootfs, &["sleep", "1000"])?.display().to_string();
    let mut peers = Vec::new();
    for name in OCI {
        let state = dir.join(name).display().to_string();
        let fixed = ["--root".to_owned(), state];
        if let Some(mut peer) = Peer::start(name, &fixed)? {
            peer.run(&format!("run -d -b {long} idle-{name}"))?;
            peers.push((name, peer));
        }
    }
    let mut podman = Peer::start("podman", &[])?;
    let (rootfs, idle) = (rootfs.display().to_string(), format!("gannet-bench-{}", std::process::id()));
    let plain = format!(
        "--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --net host --read-only --rootfs {rootfs}"
    );
    if let Some(podman) = &mut podman {
        podman.run(&format!("run -d --name {idle} {plain} sleep 1000"))?;
    }

    let mut lives: Vec<Samples> = (0..4).map(|_| Samples::default()).collect();
    let mut execs: Vec<Samples> = (0..4).map(|_| Samples::default()).collect();
    let mut steps = [const { Samples::new() }; 4];
    let mut failed = None;
    for run in 0..options.runs {
        let life = ours.life(&pod, &format!("life-{run}")).await?;
        lives[0].push(life[3]);
        steps.iter_mut().zip(life).for_each(|(samples, at)| samples.push(at));
        let begun = Instant::now();
        let outcome = ours.runtime.exec(&pod, "idle", vec!["true".into()], PATIENCE, 100).await?;
        execs[0].push(begun.elapsed());
        anyhow::ensure!(outcome.exit_code == 0, "exec ended with {}", outcome.exit_code);
        for (index, (name, peer)) in peers.iter_mut().enumerate() {
            lives[index + 1].push(peer.run(&format!("run -b {short} life-{run}"))?);
            execs[index + 1].push(peer.run(&format!("exec idle-{name} true"))?);
        }
        if let Some(podman) = &mut podman {
            let result = podman.run(&format!("run --rm {plain} true"));
            match result.and_then(|life| Ok((life, podman.run(&format!("exec {idle} true"))?))) {
                Ok((life, exec)) => {
                    lives[3].push(life);
                    execs[3].push(exec);
                }
                Err(error) => failed = Some(error),
            }
        }
    }
    for (name, peer) in &mut peers {
        peer.run(&format!("delete -f idle-{name}"))?;
    }
    if let Some(podman) = &mut podman {
        podman.run(&format!("rm -f -t 0 {idle}"))?;
    }
    ours.finish().await?;
    let names = ["gannet", "crun", "runc", "podman"].map(str::to_owned);
    let rows = |samples: &'_ [Samples]| -> Vec<(String, usize)> {
        names.iter().cloned().zip(0..samples.len()).collect()
    };
    for (title, samples) in [
        ("create → running → exit → deleted of `true`", &lives),
        ("`true` as a command in a container that runs", &execs),
    ] {
        let rows: Vec<(String, &Samples)> =
            rows(samples).into_iter().map(|(name, index)| (name, &samples[index])).collect();
        table(title, &rows);
    }
    let medians: Vec<String> = steps.iter().filter_map(Samples::median).map(millis).collect();
    println!(
        "\nMedians of gannet's steps, in ms from the beginning: created, executed, ended, deleted: {}",
        medians.join(", ")
    );
    if let Some(error) = failed {
        bail!("podman: {error}");
    }
    Ok(())
}
