//! From the command line to a running agent and back. The order of the start is a promise: ledger, then the pods, and
//! only then the first word to the hub.

use std::fs::{self, File};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gannet_agent_core::{Observed, Pressure, RollbackMemory};
use gannet_protocols_link::{AgentConfig, AgentSession};
use gannet_protocols_model::NodeInfo;
use gannet_protocols_mqtt::{MqttConfig, MqttLink};
use gannet_protocols_wire::Topic;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::adopt::adopt;
use crate::cli::{LogFormat, RunArgs};
use crate::clock::Clock;
use crate::config::{RunConfig, Settings};
use crate::control::{self, Control, EventRing};
use crate::devices::DeviceTask;
use crate::executor::{Executor, Tools, remove_cgroup_parents, unmount_below};
use crate::housekeeping::Housekeeping;
use crate::layout::Layout;
use crate::ledger::Volatile;
use crate::link_task::{LinkTask, is_whole, world_of};
use crate::logs::{self, Source, Statuses};
use crate::memory;
use crate::network;
use crate::node_info::gather;
use crate::open::{Opened, given, open};
use crate::persist::{self, Persist};
use crate::pressure::{PressureTask, limit_pods};
use crate::reconcile_task::{Inputs, Order, Outputs, Reconciler};
use crate::rollback::Rollback;
use crate::room::Room;
use crate::tls;
use crate::usage::UsageSource;
use crate::watchdog::{self, Heartbeat, Notify};

/// The pods get this long before the agent looks for its hub all the same: an image may have to come over the network.
const SETTLE: Duration = Duration::from_secs(10);
/// How long an orderly stop may take beyond what pods are granted.
const STOP: Duration = Duration::from_secs(10);
/// How long `--stop-pods-on-exit` waits for pods.
const STOP_PODS: Duration = Duration::from_secs(120);
/// Facts that the loop has not taken yet: tasks wait for it, it never waits for them.
const FACTS: usize = 256;
/// Events for a hub that is away; the newest are left out then.
const EVENTS: usize = 256;
const ORDERS: usize = 8;

/// `gannet-agent run`.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<()> {
    let file = args.config.as_deref().map(Settings::read).transpose()?;
    let config = args.settings.over(file.unwrap_or_default()).check()?;
    log_to_stderr(args.log_format);
    if !rustix::process::geteuid().is_root() {
        bail!("the agent makes namespaces, mounts, cgroups and network devices: it must be started as root");
    }
    memory::limit();
    let runtime = memory::runtime().context("start tokio")?;
    let outcome = runtime.block_on(serve(config));
    // Reads of logs may still wait on a disk.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn log_to_stderr(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

async fn serve(config: RunConfig) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let notify = Notify::from_environment();
    let opened = open(&config).await?;
    let mut running = spawn(&config, opened, &notify, &stop).await?;
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = running.tasks.join_next() => match ended {
            Some(Err(error)) => Err(anyhow::Error::new(error).context("a task of the agent failed")),
            _ => Err(anyhow::anyhow!("a task of the agent ended early")),
        },
    };
    info!(stop_pods = config.stop_pods_on_exit, "agent stops");
    notify.stopping();
    let mut empty = false;
    if config.stop_pods_on_exit && outcome.is_ok() {
        // A terminal tells the whole process group, and `gannet up` tells this process once more: only who asks a
        // third time does not want to wait.
        let impatient = async {
            interrupt.recv().await;
            interrupt.recv().await;
        };
        tokio::select! {
            stopped = running.stop_pods() => empty = stopped,
            () = impatient => warn!("pods are left as they are"),
        }
    }
    stop.cancel();
    let rest = async { while running.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP, rest).await.is_err() {
        warn!("tasks did not end in time");
    }
    if empty {
        running.leave_nothing().await;
    }
    let _ = fs::remove_file(&running.socket);
    outcome
}

/// The agent at work.
struct Running {
    layout: Layout,
    tools: Arc<Tools>,
    orders: mpsc::Sender<Order>,
    tasks: JoinSet<()>,
    /// The control socket.
    socket: PathBuf,
    _lock: File,
}

/// What goes between the tasks.
struct Channels {
    statuses: watch::Receiver<Statuses>,
    info: watch::Receiver<NodeInfo>,
    logs: Source,
}

async fn spawn(
    config: &RunConfig,
    opened: Opened,
    notify: &Notify,
    stop: &CancellationToken,
) -> anyhow::Result<Running> {
    let Opened { layout, reserve, clock, ledger, session, tools, wish, exits, _lock } = opened;
    let (facts, fact_receiver) = mpsc::channel(FACTS);
    let (order_sender, orders) = mpsc::channel(ORDERS);
    let (event_sender, told) = mpsc::channel(EVENTS);
    let (to_link, events) = mpsc::channel(EVENTS);
    let ring = EventRing::default();
    let heartbeat = Heartbeat::new(notify.watchdog);
    let (status_sender, statuses) = watch::channel(Statuses::default());
    let (settled_sender, mut settled) = watch::channel(false);
    let given = given(config, &tools.devices);
    let mut at_first = gather(&given, &layout.data);
    at_first.conditions = Pressure::default().conditions(clock.now());
    limit_pods(at_first.memory, at_first.memory_reserved);
    let (condition_sender, conditions) = watch::channel(at_first.conditions.clone());
    let (info_sender, info) = watch::channel(at_first);
    let (world_sender, world) = watch::channel(Arc::default());

    let boot_id = info.borrow().boot_id.clone();
    let volatile = Volatile::new(layout.volatile_records());
    let records = persist::load(&ledger, &volatile, &boot_id);
    let (rollback, rollback_durable) = Rollback::open(&layout, &ledger, &boot_id);
    let (persist, durable) = Persist::new(boot_id, volatile);
    let device_events = event_sender.clone();
    let out = Outputs {
        statuses: status_sender,
        events: event_sender,
        wish,
        settled: settled_sender,
        world: world_sender,
        heartbeat: heartbeat.clone(),
    };
    let executor = Executor::new(Arc::clone(&tools), facts.clone());
    let mut reconciler =
        Reconciler::new(clock.clone(), executor, Observed::from_records(records), persist, rollback, out);
    let held = ledger.desired();
    if let Some((desired, held)) = &held {
        let (world, document) = world_of(&ledger, desired);
        info!(generation = %held.generation, pods = world.pods.len(), "ledger read");
        reconciler.look_for_images(&world).await;
        reconciler.set_desired(world, document);
    }
    let waiting = adopt(&tools, &mut reconciler).await;
    if let Err(error) = tools.devices.retain(|pod| reconciler.knows(pod)) {
        warn!(error = crate::executor::chain(&error), "devices of pods that are gone are not free");
    }

    let mut tasks = JoinSet::new();
    let inputs = Inputs { facts: fact_receiver, exits, orders };
    tasks.spawn(control::tee(ring.clone(), told, to_link, stop.clone()));
    tasks.spawn(reserve.keep(stop.clone()));
    let logs = config.settings.logs;
    tasks.spawn(logs::keep_below(logs, layout.clone(), statuses.clone(), stop.clone()));
    tasks.spawn(network::keep(Arc::clone(&tools.network), tools.wish.clone(), stop.clone()));
    let own = Arc::clone(&ledger);
    tasks.spawn(persist::keep("records of pods", durable, move |r| own.records.save(r), stop.clone()));
    let own = Arc::clone(&ledger);
    let save = move |memory: &RollbackMemory| own.rollbacks.save(memory);
    tasks.spawn(persist::keep("what is healthy", rollback_durable, save, stop.clone()));
    tasks.spawn(reconciler.run(inputs, stop.clone()));
    tasks.spawn(waiting.run(Arc::clone(&tools), facts.clone(), stop.clone()));
    let logs = Source { layout: layout.clone(), statuses: statuses.clone() };
    let channels = Channels { statuses, info, logs };
    let usage = UsageSource::new(layout.clone(), clock.clone(), channels.statuses.clone());
    let (listener, socket) = control::bind(&layout).context("make the control socket")?;
    let control = Control {
        node: config.node.clone(),
        tools: Arc::clone(&tools),
        info: channels.info.clone(),
        logs: channels.logs.clone(),
        events: ring,
        usage: usage.clone(),
    };
    tasks.spawn(control.run(listener, stop.clone()));
    let room = Room {
        layout: layout.clone(),
        ledger: Arc::clone(&ledger),
        images: tools.images.clone(),
        statuses: channels.statuses.clone(),
        facts: facts.clone(),
    };
    let pressure = PressureTask {
        layout: layout.clone(),
        clock: clock.clone(),
        limits: config.settings.eviction,
        usage: usage.clone(),
        room: room.clone(),
        world,
        statuses: channels.statuses.clone(),
        facts: facts.clone(),
        conditions: condition_sender,
    };
    tasks.spawn(pressure.run(stop.clone()));
    let device_task = DeviceTask {
        tools: Arc::clone(&tools),
        statuses: channels.statuses.clone(),
        info: info_sender.clone(),
        events: device_events,
        facts: facts.clone(),
    };
    tasks.spawn(device_task.run(stop.clone()));
    let housekeeping = Housekeeping {
        given,
        layout: layout.clone(),
        clock: clock.clone(),
        ledger: Arc::clone(&ledger),
        room,
        conditions,
        info: info_sender,
    };
    tasks.spawn(housekeeping.run(stop.clone()));

    // Pods first. A hub that cannot be reached, or a certificate that is no good, must not keep them from running.
    let _ = tokio::time::timeout(SETTLE, settled.wait_for(|done| *done)).await;
    notify.ready(&watchdog::describe(&channels.statuses.borrow()));
    tasks.spawn(notify.clone().keep(heartbeat, channels.statuses.clone(), stop.clone()));
    // Where blobs were lost the document is fetched anew: the ledger still refuses older ones.
    let held = held.filter(|(desired, _)| is_whole(&ledger, desired)).map(|(_, held)| held);
    let mut agent = AgentConfig::new(config.node.clone(), session, config.hub_key.clone());
    agent.beat_interval = config.beat_interval;
    let agent_session = AgentSession::new(agent, held);
    match connect(config, &agent_session, &clock) {
        Ok(Some(link)) => {
            let task = LinkTask {
                node: config.node.clone(),
                clock,
                ledger,
                session: agent_session,
                link,
                statuses: channels.statuses,
                info: channels.info,
                events,
                orders: order_sender.clone(),
                facts,
                logs: channels.logs,
                usage,
            };
            tasks.spawn(task.run(stop.clone()));
        }
        Ok(None) => info!("no hub configured: the node runs what its ledger says"),
        Err(error) => {
            warn!(error = format!("{error:#}"), "no link to the hub: the node runs what its ledger says")
        }
    }
    info!(node.name = %config.node, %session, "agent runs");
    Ok(Running { layout, tools, orders: order_sender, tasks, socket, _lock })
}

fn connect(config: &RunConfig, session: &AgentSession, clock: &Clock) -> anyhow::Result<Option<MqttLink>> {
    let Some(mqtt) = &config.mqtt else { return Ok(None) };
    let mut link = MqttConfig::new(mqtt.url.clone(), config.node.to_string());
    link.keep_alive = mqtt.keep_alive;
    link.will = Some(session.last_will());
    link.subscriptions = Topic::node_subscriptions(&config.node).to_vec();
    if mqtt.url.starts_with("mqtts://") {
        link.tls = mqtt.tls.as_ref().map(|files| tls::client_config(files, clock.clone())).transpose()?;
    }
    Ok(Some(MqttLink::connect(link)?))
}

impl Running {
    /// Stops and removes every pod; true where none is left.
    async fn stop_pods(&self) -> bool {
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::StopAll(done)).await.is_err() {
            return false;
        }
        let empty = tokio::time::timeout(STOP_PODS, stopped).await.is_ok_and(|told| told.is_ok());
        if empty {
            info!("all pods stopped");
        } else {
            warn!("some pods did not stop in time");
        }
        empty
    }

    /// Removes what is left on the node beside the data folder.
    async fn leave_nothing(&self) {
        if let Err(error) = self.tools.network.shutdown().await {
            warn!(error = crate::executor::chain(&error), "pod network not removed");
        }
        if let Err(error) = unmount_below(&self.layout.pods()) {
            warn!(%error, "mounts of pods not removed");
        }
        if let Err(error) = fs::remove_dir_all(&self.layout.run) {
            warn!(%error, path = %self.layout.run.display(), "not removed");
        }
        remove_cgroup_parents();
    }
}
