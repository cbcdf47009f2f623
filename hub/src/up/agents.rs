//! The agents of `gannet up`: child processes, started anew where they end early, and ended with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use gannet_protocols_model::Digest;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::lan::Lan;
use crate::hub::Hub;
use crate::node_identity::write_identity;

/// How long an agent may take to stop its pods: the longest grace period that is usual, and some more.
const STOP: Duration = Duration::from_secs(60);
/// An agent that ended early is started anew after this, as systemd would do it.
const RESTART: Duration = Duration::from_secs(1);

/// Running agents.
pub(super) struct Agents {
    names: Vec<String>,
    run_dir: PathBuf,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// How one agent is started.
struct Agent {
    name: String,
    log: PathBuf,
    program: PathBuf,
    netns: Option<PathBuf>,
    args: Vec<String>,
}

/// Where an agent's log goes.
pub(super) fn log_path(data: &Path, node: &str) -> PathBuf {
    data.join("nodes").join(node).join("agent.log")
}

/// Where sockets and network namespaces lie: sockets need short paths, and this may be cleared by a reboot.
fn run_dir(data: &Path) -> PathBuf {
    let hash = Digest::of(data.as_os_str().as_encoded_bytes()).short();
    PathBuf::from("/run/gannet").join(hash)
}

impl Agents {
    /// Starts `count` agents: one is named after the machine and shares its network; more are `node-1`, `node-2`, …
    pub(super) fn start(
        hub: &Hub,
        data: &Path,
        lan: Option<&Lan>,
        count: u8,
        json: bool,
    ) -> anyhow::Result<Self> {
        let host = crate::machine::hostname().unwrap_or_else(|| "node-1".to_owned());
        let mut agents = Self {
            names: Vec::new(),
            run_dir: run_dir(data),
            tasks: JoinSet::new(),
            stop: CancellationToken::new(),
        };
        for number in 1..=count {
            let name = if lan.is_some() { format!("node-{number}") } else { host.clone() };
            let agent = Agent::new(hub, data, lan.map(|l| (l, number)), name, json)?;
            agents.names.push(agent.name.clone());
            let child = agent.spawn()?;
            agents.tasks.spawn(agent.supervise(child, agents.stop.clone()));
        }
        Ok(agents)
    }

    /// The nodes.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Ends all agents at once; each stops its pods and removes what it made.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        // Each agent has removed its own part; what it could not remove keeps the folder.
        let _ = std::fs::remove_dir(&self.run_dir);
    }
}

impl Agent {
    fn new(
        hub: &Hub,
        data: &Path,
        place: Option<(&Lan, u8)>,
        name: String,
        json: bool,
    ) -> anyhow::Result<Self> {
        let folder = data.join("nodes").join(&name);
        let identity = folder.join("identity");
        let (mqtt, registries) = match place {
            // In a network of its own the hub is not at 127.0.0.1.
            Some((lan, _)) => {
                let registries: Vec<_> =
                    hub.registries.iter().filter(|a| a.ip() == lan.hub_address()).copied().collect();
                (format!("mqtts://{}:8883", lan.hub_address()), registries)
            }
            None => (hub.mqtt_url.clone(), hub.registries.clone()),
        };
        write_identity(&hub.authority, &name.parse()?, &mqtt, &registries, &identity)?;
        let program = std::env::current_exe()?.with_file_name("gannet-agent");
        anyhow::ensure!(program.is_file(), "{} is missing: it has to lie beside gannet", program.display());
        let mut args: Vec<String> =
            ["run", "--stop-pods-on-exit", "--labels", "gannet.dev/site=up"].map(str::to_owned).into();
        let folders = [
            ("--identity", identity),
            ("--data-dir", folder.join("data")),
            ("--run-dir", run_dir(data).join(&name)),
        ];
        for (flag, path) in folders {
            let path =
                path.into_os_string().into_string().ok().context("the data folder's path is not UTF-8")?;
            args.extend([flag.to_owned(), path]);
        }
        if json {
            args.extend(["--log-format".to_owned(), "json".to_owned()]);
        }
        if let Some((lan, number)) = place {
            args.extend(["--node-address".to_owned(), lan.address(number).to_string()]);
        }
        let netns = place.map(|(lan, number)| lan.netns(number));
        Ok(Self { log: log_path(data, &name), name, program, netns, args })
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        // Whatever ends `gannet up`, SIGKILL too: the agent is told, and stops its pods.
        let told = ["setpriv", "--pdeathsig", "TERM", "--"];
        let mut command = match &self.netns {
            Some(netns) => {
                let mut enter = Command::new("nsenter");
                enter.arg(format!("--net={}", netns.display())).args(told);
                enter
            }
            None => {
                let mut plain = Command::new(told[0]);
                plain.args(&told[1..]);
                plain
            }
        };
        command.arg(&self.program);
        let out = File::options().create(true).append(true).open(&self.log);
        let out = out.with_context(|| format!("cannot open {}", self.log.display()))?;
        command.args(&self.args).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
        // Ctrl-C goes to the whole foreground group; the agents are stopped in order instead.
        command.process_group(0);
        command.spawn().with_context(|| format!("cannot start the agent of {}", self.name))
    }

    async fn supervise(self, mut child: Child, stop: CancellationToken) {
        loop {
            tokio::select! {
                ended = child.wait() => {
                    warn!(node.name = self.name, ?ended, log = %self.log.display(), "agent ended early; it is started anew");
                }
                () = stop.cancelled() => return self.stop(child).await,
            }
            tokio::select! { () = tokio::time::sleep(RESTART) => (), () = stop.cancelled() => () }
            // Also when it is time to stop: an agent that was killed has left its pods running.
            child = match self.spawn() {
                Ok(child) => child,
                Err(error) => {
                    error!(
                        node.name = self.name,
                        error = format!("{error:#}"),
                        "the agent cannot be started"
                    );
                    return;
                }
            };
        }
    }

    async fn stop(&self, mut child: Child) {
        if let Some(pid) = child.id() {
            // A child that was not waited for, so the pid cannot be another process.
            let _ = Command::new("kill").arg(pid.to_string()).status().await;
        }
        match tokio::time::timeout(STOP, child.wait()).await {
            Ok(Ok(status)) if status.success() => (),
            other => {
                warn!(node.name = self.name, ?other, log = %self.log.display(), "agent did not end as it should");
                let _ = child.kill().await;
            }
        }
    }
}
