//! An agent of one test: its folders, its process, and that nothing of it is left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gannet_protocols_model::{Desired, Digest, Generation, Manifest, Network, PodEntry, SigningKey};
use serde_json::{Value, json};

use crate::registry;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const NODE: &str = "gw-1";

/// What the tests need of the machine; says what is missing.
pub(crate) fn can_run() -> bool {
    let root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t");
    let busybox = Path::new("/usr/bin/busybox").exists() || Path::new("/bin/busybox").exists();
    if !root || !busybox {
        eprintln!("skipped: needs root and busybox");
    }
    root && busybox
}

pub(crate) struct Node {
    dir: tempfile::TempDir,
    pub(crate) registry: u16,
    name: String,
    process: Option<Child>,
    desired: Vec<PodEntry>,
    network: Option<Digest>,
    /// The node's own address.
    pub(crate) address: &'static str,
    generation: u64,
    netns: Option<String>,
    pub(crate) flags: Vec<String>,
    /// For the agent's environment.
    pub(crate) env: Vec<(String, String)>,
}

impl Node {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let node = Self {
            dir: tempfile::Builder::new().prefix("gannet-node-").tempdir().unwrap(),
            registry: registry::serve(),
            name,
            process: None,
            desired: Vec::new(),
            network: None,
            address: "127.0.0.1",
            generation: 0,
            netns: None,
            flags: Vec::new(),
            env: Vec::new(),
        };
        fs::create_dir_all(node.data().join("ledger/blobs/sha256")).unwrap();
        node
    }

    /// Lets the agent live in a network namespace of its own.
    pub(crate) fn in_own_network(&mut self) {
        let name = format!("gannet-test-{}", self.name);
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        self.netns = Some(name);
    }

    /// A node whose agent lives in a network of its own, with the image at hand and this network document.
    pub(crate) fn networked(network: &Network) -> Self {
        let mut node = Self::new();
        // The image comes while the registry can be reached.
        let first = node.pod("first", "exec sleep 1000", |_| ());
        node.want(vec![first]);
        node.start(&["--stop-pods-on-exit"]);
        node.wait_running("first");
        node.terminate();
        node.in_own_network();
        node.network(network);
        node
    }

    /// Runs a command where the agent lives.
    pub(crate) fn inside(&self, program: &str) -> Command {
        match &self.netns {
            Some(netns) => {
                // Not `ip netns exec`: that mounts another /sys, without cgroups.
                let mut command = Command::new("nsenter");
                command.args([&format!("--net=/run/netns/{netns}"), program]);
                command
            }
            None => Command::new(program),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub(crate) fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    /// A uid that no other test has: cgroups are the machine's.
    pub(crate) fn uid(&self, pod: &str) -> String {
        format!("{pod}-{}", self.name)
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.data().join("ledger/blobs/sha256").join(digest.hex()), bytes).unwrap();
        digest
    }

    /// A pod of one container that runs a shell script, with edits of its manifest.
    pub(crate) fn pod(&mut self, pod: &str, script: &str, edit: impl Fn(&mut Value)) -> PodEntry {
        let manifest = Self::manifest(script, edit);
        let digest = self.blob(&manifest);
        self.entry(pod, digest)
    }

    pub(crate) fn manifest(script: &str, edit: impl Fn(&mut Value)) -> Vec<u8> {
        let mut manifest = json!({
            "version": 1, "host_network": true, "restart_policy": "Always", "termination_grace_seconds": 5,
            "containers": [{"name": "main", "image": "busybox:1", "pull_policy": "IfNotPresent", "args": ["sh", "-c", script]}],
        });
        edit(&mut manifest);
        serde_json::from_value::<Manifest>(manifest).unwrap().to_bytes()
    }

    pub(crate) fn entry(&self, pod: &str, manifest: Digest) -> PodEntry {
        PodEntry {
            uid: self.uid(pod).parse().unwrap(),
            namespace: "default".into(),
            name: pod.into(),
            manifest,
            fields: BTreeMap::new(),
            owner: None,
            progress_deadline_seconds: None,
            stop_within_seconds: None,
        }
    }

    pub(crate) fn network(&mut self, network: &Network) {
        self.network = Some(self.blob(&network.to_bytes()));
    }

    /// The next signed document of these pods.
    pub(crate) fn document(&mut self, pods: Vec<PodEntry>) -> Vec<u8> {
        self.generation += 1;
        self.desired.clone_from(&pods);
        let generation = Generation(self.generation);
        let node = NODE.parse().unwrap();
        let desired = Desired { version: 1, node, generation, pods, network: self.network };
        Self::key().sign(&desired.to_bytes()).to_bytes()
    }

    /// Puts the next document into the ledger of an agent that does not run.
    pub(crate) fn want(&mut self, pods: Vec<PodEntry>) {
        assert!(self.process.is_none(), "the ledger belongs to the agent while it runs");
        let document = self.document(pods);
        fs::write(self.data().join("ledger/desired.a"), document).unwrap();
        let _ = fs::remove_file(self.data().join("ledger/desired.b"));
    }

    pub(crate) fn start(&mut self, flags: &[&str]) {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut command = self.inside(env!("CARGO_BIN_EXE_gannet-agent"));
        let bridge = format!("gt{}", self.name.replace('-', "x"));
        command
            .args([
                "run",
                "--node-name",
                NODE,
                "--node-address",
                self.address,
                "--bridge",
                &bridge[..bridge.len().min(15)],
            ])
            .args(["--data-dir", &text(self.data()), "--run-dir", &text(self.run_dir())])
            .args(["--hub-key", &Self::key().verifying_key().to_base64()])
            .args(["--registry", &format!("http://127.0.0.1:{}", self.registry)])
            .args(&self.flags)
            .args(flags)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("agent.log")).unwrap();
        self.process = Some(command.stderr(log).spawn().unwrap());
    }

    /// As a crash would.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Whether the agent has ended by itself; it can then be started again.
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_some());
        if ended {
            self.process = None;
        }
        ended
    }

    /// The agent's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// As systemd would.
    pub(crate) fn terminate(&mut self) {
        let mut process = self.process.take().unwrap();
        send(process.id(), "TERM");
        let done = until("the agent ends", || process.try_wait().unwrap());
        assert!(done.success(), "{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("agent.log")).unwrap_or_default()
    }

    /// `gannet-agent` with this node's folder.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Output {
        let mut command = self.inside(env!("CARGO_BIN_EXE_gannet-agent"));
        command.args(args).args(["--data-dir", self.data().to_str().unwrap()]).output().unwrap()
    }

    /// The pod's status; `None` while there is none.
    pub(crate) fn status(&self, pod: &str) -> Option<Value> {
        let output = self.command(&["ps", "-o", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer["pods"].as_array()?.iter().find(|p| p["name"] == pod).cloned()
    }

    /// Waits until the first container of a pod is as wanted.
    pub(crate) fn wait(&self, pod: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.status(pod);
            if let Some(found) = status.as_ref().map(|s| &s["containers"][0]).filter(|c| is(c)) {
                return found.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "{pod} is not {what}: {status:#?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the status of a pod is as wanted.
    pub(crate) fn wait_pod(&self, pod: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let status = self.status(pod);
            if let Some(found) = status.as_ref().filter(|s| is(s)) {
                return found.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "{pod} is not {what}: {status:#?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the agent that was started last has taken up its work.
    pub(crate) fn wait_up(&self) {
        until("the agent runs", || {
            let answer = self.command(&["ps", "-o", "json"]);
            let from_ledger = String::from_utf8_lossy(&answer.stderr).contains("no agent runs");
            (answer.status.success() && !from_ledger).then_some(())
        });
    }

    /// Waits until nothing is left of a pod.
    pub(crate) fn wait_gone(&self, pod: &str) {
        let folder = self.data().join("pods").join(self.uid(pod));
        until(&format!("{pod} is gone"), || (!folder.exists() && self.status(pod).is_none()).then_some(()));
    }

    /// A folder of the test, which a pod may have as the volume `host`.
    pub(crate) fn host_folder(&self) -> PathBuf {
        let folder = self.dir.path().join("host");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Gives every container of a manifest the test's folder, at `/h`.
    pub(crate) fn with_host_folder(&self, manifest: &mut Value) {
        let path = self.host_folder();
        manifest["volumes"] =
            json!([{"name": "host", "source": {"hostPath": {"path": path, "kind": "Directory"}}}]);
        for list in ["init_containers", "containers"] {
            for container in manifest[list].as_array_mut().into_iter().flatten() {
                container["mounts"] = json!([{"volume": "host", "path": "/h"}]);
            }
        }
    }

    pub(crate) fn wait_running(&self, pod: &str) -> Value {
        self.wait(pod, "running", |c| c["state"].get("running").is_some())
    }

    pub(crate) fn logs(&self, args: &[&str]) -> String {
        let output = self.command(&[&["logs"], args].concat());
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// Has another agent take all away, and looks that it did.
    pub(crate) fn clear(mut self) {
        self.terminate();
        let runs = self.runs();
        self.start(&["--stop-pods-on-exit"]);
        until("the agent runs", || (self.runs() > runs).then_some(()));
        self.terminate();
        assert_eq!(self.left_overs(), Vec::<String>::new());
    }

    /// How many agents took up their work here, one after the other.
    fn runs(&self) -> usize {
        self.log().matches("agent runs").count()
    }

    /// Mounts, processes, cgroups and interfaces that the node left.
    pub(crate) fn left_overs(&self) -> Vec<String> {
        let mut left = Vec::new();
        let dir = self.dir.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(dir)).map(|line| format!("mount {line}")));
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let command =
                fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
            if command.contains(dir) || command.contains(&format!("shim {}", self.uid(""))) {
                left.push(format!("process {command}"));
            }
        }
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|e| e.path());
        for hierarchy in hierarchies.chain(["/sys/fs/cgroup".into()]) {
            for pod in &self.desired {
                let group = hierarchy.join("gannet").join(pod.uid.as_str());
                if group.exists() {
                    left.push(format!("cgroup {}", group.display()));
                }
            }
        }
        left
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("agent's log:\n{}", self.log());
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        // Another agent, with nothing to run, takes away what the first left.
        let _ = fs::remove_file(self.data().join("ledger/desired.a"));
        let _ = fs::remove_file(self.data().join("ledger/desired.b"));
        let runs = self.runs();
        self.start(&["--stop-pods-on-exit"]);
        let begun = Instant::now();
        while self.runs() == runs && !self.has_ended() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(mut process) = self.process.take() {
            send(process.id(), "TERM");
            let _ = process.wait();
        }
        if let Some(netns) = &self.netns {
            ip(&["netns", "del", netns]);
        }
    }
}

pub(crate) fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
}

pub(crate) fn send(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success());
}

/// Waits for something to be there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes whose command line has this text, without the shell that wrote it.
pub(crate) fn processes(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).replace('\0', " ").contains(text) {
            found.push(pid);
        }
    }
    found
}
