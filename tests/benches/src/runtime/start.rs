//! A gateway after a power cut: from the agent's start, without any network, to ten pods of its ledger running.
//!
//! The agent lives in namespaces of its own for processes, mounts and network. Killing its first process ends all that it
//! started and unmounts all that it mounted, as a power cut would; its folder stays.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gannet_protocols_model::{Desired, Digest, Generation, Manifest, Network, PodEntry, SigningKey};
use gannet_tests_support::one_image;
use serde_json::{Value, json};

use super::Options;
use super::peer::Peer;
use crate::figure::{Samples, table};

const NODE: &str = "bench";
const PODS: usize = 10;
/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    dir: tempfile::TempDir,
    program: PathBuf,
    registry: u16,
    key: SigningKey,
}

impl Node {
    fn new(program: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("gannet-bench-node-").tempdir()?;
        let node = Self {
            dir,
            program: program.to_owned(),
            registry: one_image::serve(),
            key: SigningKey::from_seed(&[7; 32]),
        };
        fs::create_dir_all(node.blobs())?;
        Ok(node)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn blobs(&self) -> PathBuf {
        self.data().join("ledger/blobs/sha256")
    }

    fn blob(&self, bytes: &[u8]) -> anyhow::Result<Digest> {
        let digest = Digest::of(bytes);
        fs::write(self.blobs().join(digest.hex()), bytes)?;
        Ok(digest)
    }

    /// Ten pods with addresses of their own.
    fn fill(&self) -> anyhow::Result<()> {
        let manifest: Manifest = serde_json::from_value(json!({
            "version": 1, "restart_policy": "Always", "termination_grace_seconds": 0,
            "containers": [{"name": "main", "image": "busybox:1", "pull_policy": "IfNotPresent", "args": ["sleep", "100000"]}],
        }))?;
        let manifest = self.blob(&manifest.to_bytes())?;
        let network = Network {
            pod_cidr: "10.199.7.0/24".to_owned(),
            service_cidr: "10.199.8.0/24".to_owned(),
            domain: "cluster.local".to_owned(),
            ..Network::default()
        };
        let network = Some(self.blob(&network.to_bytes())?);
        let entry = |number: usize| -> anyhow::Result<PodEntry> {
            Ok(serde_json::from_value(json!({
                "uid": format!("bench-{}-{number}", std::process::id()), "namespace": "default",
                "name": format!("bench-{number}"), "manifest": manifest,
            }))?)
        };
        let pods = (0..PODS).map(entry).collect::<Result<_, _>>()?;
        let desired = Desired { version: 1, node: NODE.parse()?, generation: Generation(1), pods, network };
        fs::write(self.data().join("ledger/desired.a"), self.key.sign(&desired.to_bytes()).to_bytes())?;
        Ok(())
    }

    fn spawn(&self, prefix: &[&str], flags: &[&str]) -> anyhow::Result<Child> {
        let mut words: Vec<String> = prefix.iter().map(|word| (*word).to_owned()).collect();
        words.push(self.program.display().to_string());
        let (program, first) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command
            .args(first)
            .args(["run", "--node-name", NODE, "--node-address", "127.0.0.1", "--bridge", "gbench0"])
            .args(["--data-dir", &self.data().display().to_string()])
            .args(["--run-dir", &self.dir.path().join("run").display().to_string()])
            .args(["--hub-key", &self.key.verifying_key().to_base64()])
            .args(["--registry", &format!("http://127.0.0.1:{}", self.registry)])
            .args(flags);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("agent.log"))?;
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?)
    }

    /// How many pods run; nothing while the agent does not answer.
    fn running(&self) -> Option<usize> {
        let mut socket = UnixStream::connect(self.data().join("agent.sock")).ok()?;
        socket.write_all(b"\"ps\"\n").ok()?;
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).ok()?;
        let answer: Value = serde_json::from_str(&line).ok()?;
        let runs = |pod: &&Value| pod["containers"][0]["state"].get("running").is_some();
        Some(answer["pods"].as_array()?.iter().filter(runs).count())
    }

    fn wait_for_pods(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.running() != Some(PODS) {
            let log = || fs::read_to_string(self.dir.path().join("agent.log")).unwrap_or_default();
            ensure!(begun.elapsed() < PATIENCE, "the pods do not run: {}", log());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// Namespaces of its own; the kernel kills all of it with its first process.
const APART: &[&str] =
    &["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--"];

pub(super) fn measure(options: &Options) -> anyhow::Result<()> {
    let node = Node::new(&options.agent)?;
    node.fill()?;
    // Once with a network, so that the image is there.
    let mut first = node.spawn(&[], &["--stop-pods-on-exit"])?;
    node.wait_for_pods()?;
    let agent_pid = i32::try_from(first.id())?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent_pid), nix::sys::signal::Signal::SIGTERM)?;
    ensure!(first.wait()?.success(), "the agent did not stop in order");

    let mut podman = Peer::start("podman", &[])?;
    let name = format!("gannet-bench-{}", std::process::id());
    let names: Vec<String> = (0..PODS).map(|number| format!("{name}-{number}")).collect();
    let rootfs = super::bundle::rootfs(&node.dir.path().join("rootfs"))?;
    if let Some(podman) = &mut podman {
        for name in &names {
            podman.run(&format!(
                "create --name {name} --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --net host --read-only --rootfs {} sleep 100000",
                rootfs.display()
            ))?;
        }
    }
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..options.starts {
        let begun = Instant::now();
        let mut agent = node.spawn(APART, &[])?;
        node.wait_for_pods()?;
        ours.push(begun.elapsed());
        agent.kill()?;
        agent.wait()?;
        // What a reboot would have emptied.
        let _ = fs::remove_dir_all(node.dir.path().join("run"));
        if let Some(podman) = &mut podman {
            theirs.push(podman.run(&format!("start {}", names.join(" ")))?);
            podman.run(&format!("kill {}", names.join(" ")))?;
        }
    }
    if let Some(podman) = &mut podman {
        podman.run(&format!("rm -f -t 0 {}", names.join(" ")))?;
    }
    let rows = [
        (format!("gannet: agent's start → {PODS} pods running, no network"), &ours),
        (format!("podman: `podman start` of {PODS} containers, without a network of their own"), &theirs),
    ];
    table("After a power cut", &rows);
    Ok(())
}
