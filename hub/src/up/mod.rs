//! `gannet up`: a hub and its agents on one machine, for a first look and for tests.

mod agents;
mod example;
mod lan;

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use gannet_hub_core::{Kind, ObjectKey};
use gannet_hub_ctl::{Connection, Session};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::hub::Hub;
use crate::settings::HubArgs;
use agents::Agents;
use lan::Lan;

/// How long an agent may take until its node is Ready.
const NODE_READY: Duration = Duration::from_secs(60);

/// `gannet up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    hub: HubArgs,
    /// Run an example, too.
    #[arg(long, value_enum)]
    example: Option<Example>,
    /// Forget the state of an earlier run first.
    #[arg(long)]
    fresh: bool,
    /// How many agents; with more than one, each in a network namespace of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: u8,
}

impl UpArgs {
    /// Whether log lines are for machines.
    pub(crate) fn json_logs(&self) -> bool {
        self.hub.json_logs
    }
}

/// What can be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Example {
    /// Three pods of a small web server behind a LoadBalancer.
    WebApp,
}

/// Runs until Ctrl-C.
pub(crate) async fn up(mut args: UpArgs) -> anyhow::Result<()> {
    if !is_root() {
        bail!(
            "gannet up needs root: its agent makes network namespaces, mounts, cgroups, a bridge and nftables rules for containers. \
             Try: sudo gannet up"
        );
    }
    let data = args.hub.data_dir.clone();
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let data = data.canonicalize()?;
    args.hub.data_dir.clone_from(&data);
    let _lock = lock(&data)?;
    if args.fresh {
        forget(&data)?;
    }
    let mut stop = Stop::new()?;
    let lan = if args.nodes > 1 { Some(Lan::ensure(&data, args.nodes)?) } else { None };
    if let Some(lan) = &lan {
        args.hub.mqtt_address.push(SocketAddr::new(lan.hub_address().into(), 8883));
        args.hub.registry_address.push(SocketAddr::new(lan.hub_address().into(), 5000));
    }
    let mut fleet = Fleet { hub: None, agents: None };
    let started = tokio::select! {
        outcome = fleet.start(&args, &data, lan.as_ref()) => outcome.map(|()| true),
        () = stop.asked() => Ok(false),
    };
    let outcome = match started {
        Ok(true) => tokio::select! {
            () = stop.asked() => Ok(()),
            error = fleet.failed() => Err(error),
        },
        other => other.map(drop),
    };
    say("\nstopping: pods, agents, hub");
    fleet.stop().await;
    drop(lan);
    say("stopped; the state is kept, and the next `gannet up` goes on with it (--fresh forgets it)");
    outcome
}

/// What was started so far: a start that is interrupted stops in order, too.
struct Fleet {
    hub: Option<Hub>,
    agents: Option<Agents>,
}

impl Fleet {
    async fn start(&mut self, args: &UpArgs, data: &Path, lan: Option<&Lan>) -> anyhow::Result<()> {
        let began = Instant::now();
        let step = |what: &str| say(&format!("[{:5.1}s] {what}", began.elapsed().as_secs_f32()));
        step("starting the hub");
        let hub = &*self.hub.insert(Hub::start(&args.hub).await?);
        step(&format!(
            "hub ready: API https://{}, registry {}, broker {}",
            hub.api, hub.registries[0], hub.mqtt_url
        ));
        let agents = self.agents.insert(Agents::start(hub, data, lan, args.nodes, args.hub.json_logs)?);
        for node in agents.names() {
            ready(hub, node)
                .await
                .with_context(|| format!("its log: {}", agents::log_path(data, node).display()))?;
            step(&format!("node {node} is Ready"));
        }
        let connection = Connection { kubeconfig: Some(hub.kubeconfig.clone()), namespace: None };
        let session = Session::open(&connection).await?;
        match args.example {
            Some(Example::WebApp) => example::web_app(hub, &session, &connection, &step).await?,
            None => step("the fleet is empty; apply something"),
        }
        next_steps(hub, args.example);
        Ok(())
    }

    /// Waits until something ends that never should.
    async fn failed(&mut self) -> anyhow::Error {
        match &mut self.hub {
            Some(hub) => hub.failed().await,
            None => anyhow::anyhow!("the hub was not started"),
        }
    }

    async fn stop(self) {
        if let Some(agents) = self.agents {
            agents.stop().await;
        }
        if let Some(hub) = self.hub {
            hub.stop().await;
        }
    }
}

/// Waits until the hub calls the node Ready.
async fn ready(hub: &Hub, node: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + NODE_READY;
    loop {
        let found = hub.objects.get(Kind::NODE, &ObjectKey::new("", node));
        let conditions = found.as_ref().ok().and_then(|n| n["status"]["conditions"].as_array());
        if conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True") {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("node {node} did not become Ready within {NODE_READY:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn next_steps(hub: &Hub, example: Option<Example>) {
    let kubeconfig = hub.kubeconfig.display();
    say(&format!("\nkubeconfig: {kubeconfig}\ntry, in another terminal:\n  export KUBECONFIG={kubeconfig}"));
    match example {
        Some(_) => say(
            "  kubectl get pods -o wide\n  kubectl scale deployment web-app --replicas=5\n  kubectl logs deployment/web-app -f",
        ),
        None => {
            say("  kubectl get nodes\n  kubectl apply -f deploy/examples/web-app.yaml\n  gannet get pods -w")
        }
    }
    say("Ctrl-C stops everything.");
}

/// SIGINT, SIGTERM, and SIGHUP of a terminal that was closed.
struct Stop(Signal, Signal, Signal);

impl Stop {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ))
    }

    async fn asked(&mut self) {
        tokio::select! { _ = self.0.recv() => (), _ = self.1.recv() => (), _ = self.2.recv() => () }
    }
}

/// One `gannet up` a data folder.
fn lock(data: &Path) -> anyhow::Result<File> {
    let file = File::create(data.join("up.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => bail!("another gannet up already uses {}", data.display()),
    }
}

/// Removes the state of an earlier run, and nothing that is not ours.
fn forget(data: &Path) -> anyhow::Result<()> {
    for name in ["store", "registry", "pki", "nodes"] {
        match fs::remove_dir_all(data.join(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot forget {}", data.join(name).display()));
            }
            _ => (),
        }
    }
    match fs::remove_file(data.join("kubeconfig")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// For the person at the terminal, who may have gone: that is no reason not to stop in order.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
