//! A runtime in a directory of its own, a root file system, and specs such as the agent makes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gannet_agent_runtime::{
    ContainerSpec, ContainerStatus, Exit, LogLimits, PodSandbox, Runtime, RuntimeConfig, RuntimeEvent, Status,
};
use gannet_agent_spec::defaults;
use gannet_agent_spec::seccomp::default_seccomp;
use gannet_protocols_model::PodUid;
use tokio::sync::mpsc;

const TOOLS: &[&str] = &[
    "sh", "cat", "echo", "sleep", "true", "grep", "hostname", "readlink", "id", "head", "tail", "mknod",
    "dd", "unshare", "kill", "seq", "yes", "touch", "wc", "mkdir", "ls", "stty", "tty", "chmod", "nc",
    "test", "rm", "stat",
];

pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) events: mpsc::Receiver<RuntimeEvent>,
    netns: Vec<String>,
    pods: Vec<PodUid>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Different in each process and each call.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn config(run_dir: &Path) -> RuntimeConfig {
    let program = std::env::current_exe().unwrap();
    RuntimeConfig { run_dir: run_dir.to_owned(), zygote_command: (program, vec!["zygote".into()]) }
}

/// Tools of a distribution in a directory: busybox, else the host's own with their libraries.
fn make_rootfs(root: &Path) {
    for dir in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    if let Some(busybox) = busybox {
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        TOOLS.iter().for_each(|tool| symlink("busybox", root.join("bin").join(tool)).unwrap());
        return;
    }
    for tool in TOOLS {
        let found = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
            .iter()
            .map(|dir| Path::new(dir).join(tool))
            .find(|p| p.exists());
        let found = found.unwrap_or_else(|| panic!("{tool} is not installed, nor is busybox"));
        fs::copy(&found, root.join("bin").join(tool)).unwrap();
        let libraries = Command::new("ldd").arg(&found).output().unwrap();
        for word in
            String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/'))
        {
            let to = root.join(word.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(word, to).unwrap();
        }
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(config).await
    }

    /// With a zygote that is started in another way.
    pub(crate) async fn with(config: impl Fn(&Path) -> RuntimeConfig) -> Self {
        let dir = tempfile::Builder::new().prefix("gannet-runtime-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        make_rootfs(&dir.path().join("rootfs"));
        let (runtime, events) = Runtime::start(config(&dir.path().join("run"))).await.unwrap();
        Self { dir, runtime: Some(runtime), events, netns: Vec::new(), pods: Vec::new() }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime was dropped")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What happens to runtimes: this one goes, another one comes.
    pub(crate) async fn restart(&mut self) {
        self.runtime = None;
        let (runtime, events) = Runtime::start(config(&self.run_dir())).await.unwrap();
        self.runtime = Some(runtime);
        self.events = events;
    }

    /// A pod with a network of its own, as the agent's network makes it.
    pub(crate) fn sandbox(&mut self) -> PodSandbox {
        let name = unique("gannet-test");
        assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success());
        let netns = Some(PathBuf::from("/run/netns").join(&name));
        self.netns.push(name);
        let uid: PodUid = unique("pod").parse().unwrap();
        self.pods.push(uid.clone());
        PodSandbox { netns, ..PodSandbox::new(uid, "web-1".to_owned()) }
    }

    pub(crate) async fn pod(&mut self) -> PodUid {
        let sandbox = self.sandbox();
        let uid = sandbox.uid.clone();
        self.runtime().ensure_pod(sandbox).await.unwrap();
        uid
    }

    /// A container that runs a shell command, confined as the agent does by default.
    pub(crate) fn container(&self, id: &str, script: &str) -> ContainerSpec {
        self.container_with(id, &["sh", "-c", script], |_| {})
    }

    pub(crate) fn container_with(
        &self,
        id: &str,
        args: &[&str],
        change: impl FnOnce(&mut serde_json::Value),
    ) -> ContainerSpec {
        let mut spec = default_spec(args);
        spec["root"]["path"] = self.path("rootfs").display().to_string().into();
        change(&mut spec);
        ContainerSpec {
            id: id.to_owned(),
            spec: serde_json::from_value(spec).unwrap(),
            bundle: self.path("bundles").join(unique(id)),
            log_path: self.path("logs").join(format!("{id}.log")),
            log_limits: LogLimits::default(),
        }
    }

    pub(crate) async fn run(&self, pod: &PodUid, container: ContainerSpec) -> i32 {
        let id = container.id.clone();
        let pid = self.runtime().create(pod, container).await.unwrap();
        assert_eq!(self.runtime().start_container(pod, &id).await.unwrap(), pid);
        pid
    }

    /// Runs a shell command to its end; gives what it wrote.
    pub(crate) async fn output_of(&mut self, pod: &PodUid, container: ContainerSpec) -> String {
        let id = container.id.clone();
        self.run(pod, container).await;
        self.exit_of(&id).await;
        self.lines(&id)
    }

    /// The next end of this container; others are not waited for by these tests at the same time.
    pub(crate) async fn exit_of(&mut self, id: &str) -> Exit {
        loop {
            match self.events.recv().await.expect("the runtime is gone") {
                RuntimeEvent::Exited { container, exit, .. } if container == id => return exit,
                _ => {}
            }
        }
    }

    pub(crate) fn log(&self, id: &str) -> String {
        fs::read_to_string(self.path("logs").join(format!("{id}.log"))).unwrap_or_default()
    }

    /// The log without times, streams and tags.
    pub(crate) fn lines(&self, id: &str) -> String {
        let text = self.log(id);
        let line = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned() + "\n";
        text.lines().map(line).collect()
    }

    pub(crate) async fn status(&self, pod: &PodUid, id: &str) -> Option<ContainerStatus> {
        let pods: BTreeMap<_, _> = self.runtime().pods().await.into_iter().collect();
        let state = pods.get(pod)?.as_ref().ok()?;
        state.containers.iter().find(|c| c.id == id).cloned()
    }

    pub(crate) async fn wait_for_status(&self, pod: &PodUid, id: &str, want: Status) -> ContainerStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.status(pod, id).await;
            if let Some(status) = status.clone().filter(|s| s.status == want) {
                return status;
            }
            assert!(Instant::now() < deadline, "{id} is {status:?}, not {want:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn wait_for_line(&self, id: &str, line: &str) {
        wait_until(&format!("{id} says {line}"), || self.lines(id).lines().any(|l| l == line)).await;
    }

    /// Removes the pods, and asserts that nothing of them is left.
    pub(crate) async fn finish(mut self) {
        let pods = std::mem::take(&mut self.pods);
        for pod in &pods {
            self.runtime().remove_pod(pod).await.unwrap();
            assert!(
                !self.run_dir().join("pods").join(pod.as_str()).exists(),
                "the directory of {pod} is left"
            );
            let cgroups = Command::new("find")
                .args(["/sys/fs/cgroup", "-type", "d", "-name", pod.as_str()])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&cgroups.stdout), "", "cgroups are left");
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let run = self.dir.path().display().to_string();
        assert!(!mounts.contains(&run), "mounts are left");
        let uids: Vec<String> = pods.iter().map(ToString::to_string).collect();
        wait_until("the shims end", || processes_with(&uids).is_empty()).await;
    }

    /// Runs a command in a container to its end; gives what it wrote.
    pub(crate) async fn exec(&self, pod: &PodUid, id: &str, argv: &[&str]) -> String {
        let argv = argv.iter().map(ToString::to_string).collect();
        self.runtime().exec(pod, id, argv, Duration::from_secs(20), 100_000).await.unwrap().output
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // After a failure too: kill what was started, by what only it has. First what would start it again.
        self.runtime = None;
        std::thread::sleep(Duration::from_millis(if self.pods.is_empty() { 0 } else { 50 }));
        for pod in &self.pods {
            for pid in processes_with(&[pod.to_string()]) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
            kill_cgroups(pod.as_str());
            for name in ["ipc", "uts", "net", "pid", "user"] {
                let path = self.run_dir().join("pods").join(pod.as_str()).join("ns").join(name);
                let _ = nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH);
            }
        }
        for name in &self.netns {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn kill_cgroups(pod: &str) {
    let found = Command::new("find")
        .args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &format!("*/{pod}*")])
        .output();
    let found = found.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    for dir in found.lines() {
        for pid in fs::read_to_string(Path::new(dir).join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = Command::new("kill").args(["-9", pid]).status();
        }
        let _ = fs::remove_dir(dir);
    }
}

/// Processes whose command line names one of these pods: their shims, and children of shims.
pub(crate) fn processes_with(words: &[String]) -> Vec<i32> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let named = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let shim =
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "gannet-shim");
        shim && line.starts_with("gannet-agent shim ")
            && words.iter().any(|word| line.trim_end_matches('\0').ends_with(word.as_str()))
    };
    pids.filter(named).collect()
}

pub(crate) fn shim_of(pod: &PodUid) -> i32 {
    let found = processes_with(&[pod.to_string()]);
    // While a shim's child calls libcontainer there are two; the shim came first.
    *found.iter().min().expect("the pod has a shim")
}

pub(crate) fn alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn kill(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn default_spec(args: &[&str]) -> serde_json::Value {
    let capabilities = defaults::default_capabilities();
    let seccomp = default_seccomp(&capabilities);
    let none: [&str; 0] = [];
    serde_json::json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": true},
        "mounts": defaults::default_mounts(),
        "process": {
            "args": args, "cwd": "/", "env": [defaults::PATH], "user": {"uid": 0, "gid": 0}, "noNewPrivileges": true,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                "inheritable": none, "ambient": none,
            },
        },
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "cgroup"},
            ],
            "resources": {"devices": [defaults::deny_all_devices()]},
            "maskedPaths": defaults::default_masked_paths(),
            "readonlyPaths": defaults::default_readonly_paths(),
            "seccomp": seccomp,
        },
    })
}
