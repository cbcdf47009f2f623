//! A fleet of one for tests: certificates, brokers, and an agent whose ledger is a map.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gannet_hub_gateway::{
    Broker, BrokerConfig, BrokerTls, DesiredSource, Gateway, GatewayConfig, GatewayTasks,
};
use gannet_hub_pki::{Authority, SanName, client_config};
use gannet_protocols_link::{
    AgentConfig, AgentOutput, AgentSession, Fact, Held, Link, LinkEvent, Message, Outgoing,
};
use gannet_protocols_model::{
    ByteSize, ConfigBlob, CpuMillis, Desired, Digest, Generation, Network, NodeInfo, NodeName, PodEntry,
    PodPhase, PodStatus, PodUid, Session, SigningKey, Timestamp,
};
use gannet_protocols_mqtt::{MqttConfig, MqttLink, MqttPublisher};
use gannet_protocols_wire::{LogRequest, NodeState, Open, StreamId, Topic};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp::from_millis(u64::try_from(millis).unwrap())
}

pub(crate) fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

pub(crate) fn node() -> NodeName {
    name("gw")
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: it did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A node that is thought to be there, and says nothing: one whose agent is only its birth.
pub(crate) async fn silent_node(pki: &Pki, broker: &Broker, facts: &mut mpsc::Receiver<Fact>) -> MqttLink {
    let config = MqttConfig { tls: Some(pki.node(&node())), ..MqttConfig::new(url(broker), "gw") };
    let mut link = MqttLink::connect(config).unwrap();
    while link.next().await != LinkEvent::Up {}
    let born = NodeState { alive: true, session: Session(1) };
    link.publish(Message::new(Topic::State(node()), &born)).await.unwrap();
    fact(facts, "birth", |f| matches!(f, Fact::NodeUp { .. })).await;
    link
}

/// Waits for a fact.
pub(crate) async fn fact(
    facts: &mut mpsc::Receiver<Fact>,
    what: &str,
    wanted: impl Fn(&Fact) -> bool,
) -> Fact {
    let waiting = async {
        loop {
            let fact = facts.recv().await.expect("the gateway ended");
            if wanted(&fact) {
                return fact;
            }
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{what}: it did not come"))
}

/// A CA and what it issues.
pub(crate) struct Pki {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(dir.path(), now()).unwrap();
        authority.ensure_server("broker", &[SanName::Dns("localhost".into())], now()).unwrap();
        Self { dir, authority }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("pki").join(name)
    }

    pub(crate) async fn broker(&self) -> Broker {
        let tls = BrokerTls {
            certificate: self.file("broker.crt"),
            key: self.file("broker.key"),
            client_ca: self.file("ca.crt"),
        };
        Broker::start(BrokerConfig::new(vec!["127.0.0.1:0".parse().unwrap()], tls)).await.unwrap()
    }

    pub(crate) fn client(&self, common_name: &str, organization: &str) -> Arc<rustls::ClientConfig> {
        let identity = self.authority.issue_client(common_name, &[organization], now()).unwrap();
        client_config(self.authority.ca_pem(), Some(&identity)).unwrap()
    }

    /// A client that trusts this CA, with a certificate of another.
    pub(crate) fn client_of(
        &self,
        other: &Self,
        common_name: &str,
        organization: &str,
    ) -> Arc<rustls::ClientConfig> {
        let identity = other.authority.issue_client(common_name, &[organization], now()).unwrap();
        client_config(self.authority.ca_pem(), Some(&identity)).unwrap()
    }

    pub(crate) fn anonymous(&self) -> Arc<rustls::ClientConfig> {
        client_config(self.authority.ca_pem(), None).unwrap()
    }

    pub(crate) fn hub(&self) -> Arc<rustls::ClientConfig> {
        self.client("hub", "system:masters")
    }

    pub(crate) fn node(&self, name: &NodeName) -> Arc<rustls::ClientConfig> {
        self.client(&format!("system:node:{name}"), "system:nodes")
    }
}

pub(crate) fn url(broker: &Broker) -> String {
    format!("mqtts://localhost:{}", broker.addresses()[0].port())
}

/// Debian's broker.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) url: String,
    _dir: tempfile::TempDir,
}

impl Mosquitto {
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mosquitto.conf");
        std::fs::write(
            &path,
            format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"),
        )
        .unwrap();
        let child = Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is not installed: apt-get install mosquitto");
        Self { child, url: format!("mqtt://127.0.0.1:{port}"), _dir: dir }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The blobs of the node's document.
#[derive(Clone, Default)]
pub(crate) struct Blobs(pub(crate) Arc<Mutex<BTreeMap<Digest, Arc<[u8]>>>>);

impl DesiredSource for Blobs {
    fn blob(&self, node: &NodeName, digest: &Digest) -> Option<Arc<[u8]>> {
        (*node == self::node()).then(|| self.0.lock().unwrap().get(digest).cloned()).flatten()
    }
}

impl Blobs {
    fn keep(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.0.lock().unwrap().insert(digest, bytes.into());
        digest
    }

    /// A signed document of so many pods, whose blobs are kept here.
    pub(crate) fn document(&self, generation: u64, pods: usize) -> Arc<[u8]> {
        let network = self.keep(Network { domain: "cluster.local".into(), ..Network::default() }.to_bytes());
        let pods = (0..pods).map(|n| {
            let data = ConfigBlob::new([("A".to_owned(), format!("{generation}-{n}").into_bytes())]);
            let config = self.keep(data.to_bytes());
            let manifest = format!(
                r#"{{"version":1,"restart_policy":"Always","termination_grace_seconds":30,"containers":[{{"name":"c","image":"busybox:1","pull_policy":"IfNotPresent","env":[{{"name":"","value":{{"all":{{"blob":"{config}","prefix":""}}}}}}]}}]}}"#
            );
            PodEntry {
                uid: format!("pod-{n}").parse().unwrap(),
                namespace: "default".into(),
                name: format!("pod-{n}"),
                manifest: self.keep(manifest.into_bytes()),
                fields: BTreeMap::new(),
                owner: None,
                progress_deadline_seconds: None,
                stop_within_seconds: None,
            }
        });
        let desired = Desired {
            version: 1,
            node: node(),
            generation: Generation(generation),
            pods: pods.collect(),
            network: Some(network),
        };
        key().sign(&desired.to_bytes()).to_bytes().into()
    }
}

pub(crate) fn start_gateway(
    url: &str,
    tls: Option<Arc<rustls::ClientConfig>>,
    edit: impl FnOnce(&mut GatewayConfig),
) -> (Gateway, mpsc::Receiver<Fact>, GatewayTasks, Blobs) {
    let mut config = GatewayConfig::new(1);
    edit(&mut config);
    let blobs = Blobs::default();
    let link = MqttLink::connect(config.link(url, tls)).unwrap();
    let (gateway, facts, tasks) = Gateway::start(config, link, blobs.clone());
    (gateway, facts, tasks, blobs)
}

/// What an agent has and did.
#[derive(Default)]
pub(crate) struct AgentWorld {
    pub(crate) ledger: Mutex<BTreeMap<Digest, Vec<u8>>>,
    pub(crate) accepted: Mutex<Vec<u64>>,
    pub(crate) refused: Mutex<Vec<String>>,
    pub(crate) pods: Mutex<BTreeMap<PodUid, PodStatus>>,
    pub(crate) changed: Notify,
    /// The log that it gives to who asks for container `log`; `silent` gives nothing, others are refused.
    pub(crate) log: Mutex<Vec<u8>>,
    /// Bytes of the log that were sent.
    pub(crate) log_sent: AtomicU64,
    /// What it answers to who asks for its usage; without it, it refuses.
    pub(crate) usage: Mutex<Option<Vec<u8>>>,
    pub(crate) usage_asked: AtomicU64,
    pub(crate) streams_closed: AtomicU64,
}

/// An agent that runs in a task of its own.
pub(crate) struct TestAgent {
    pub(crate) world: Arc<AgentWorld>,
    task: tokio::task::JoinHandle<()>,
}

impl TestAgent {
    pub(crate) fn start(url: &str, tls: Option<Arc<rustls::ClientConfig>>, session: u64) -> Self {
        let world = Arc::new(AgentWorld::default());
        let mut config = AgentConfig::new(node(), Session(session), key().verifying_key());
        config.beat_interval = Duration::from_millis(500);
        let session = AgentSession::new(config, None::<Held>);
        let link = MqttLink::connect(MqttConfig {
            tls,
            keep_alive: Duration::from_secs(10),
            will: Some(session.last_will()),
            subscriptions: Topic::node_subscriptions(&node()).to_vec(),
            ..MqttConfig::new(url, node().as_str())
        })
        .unwrap();
        let driver = Driver {
            session,
            publisher: link.publisher(),
            world: Arc::clone(&world),
            streams: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        Self { world, task: tokio::spawn(driver.run(link)) }
    }

    /// As a crash: nothing is said to the broker.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) fn observe(&self, pods: &[(&str, &str)]) {
        let pods = pods.iter().map(|(uid, message)| (uid.parse().unwrap(), pod(uid, message)));
        *self.world.pods.lock().unwrap() = pods.collect();
        self.world.changed.notify_one();
    }
}

type Credit = Arc<(Mutex<Outgoing>, Notify)>;

struct Driver {
    session: AgentSession,
    publisher: MqttPublisher,
    world: Arc<AgentWorld>,
    streams: BTreeMap<StreamId, (Credit, tokio::task::AbortHandle)>,
    tasks: JoinSet<StreamId>,
}

impl Driver {
    async fn run(mut self, mut link: MqttLink) {
        loop {
            let pods = self.world.pods.lock().unwrap().clone();
            let outputs = self.session.observe(&pods, &info(), vec![], now());
            self.carry_out(outputs).await;
            let wake = self.session.next_wake().map_or(Duration::from_secs(1), |at| at.since(now()));
            let outputs = tokio::select! {
                event = link.next() => self.session.on_link(event, now()),
                () = self.world.changed.notified() => vec![],
                () = tokio::time::sleep(wake) => self.session.on_tick(now()),
                Some(Ok(ended)) = self.tasks.join_next() => {
                    self.session.on_stream_ended(&ended);
                    vec![]
                }
            };
            self.carry_out(outputs).await;
        }
    }

    async fn carry_out(&mut self, outputs: Vec<AgentOutput>) {
        let mut todo: VecDeque<_> = outputs.into();
        while let Some(output) = todo.pop_front() {
            match output {
                AgentOutput::Publish(message) => {
                    let _ = self.publisher.publish(message).await;
                }
                AgentOutput::LookUp { digest } => {
                    let found = self.world.ledger.lock().unwrap().get(&digest).cloned();
                    todo.extend(self.session.on_look_up(&digest, found.as_deref(), now()));
                }
                AgentOutput::KeepBlob { digest, bytes } => {
                    assert!(digest.matches(&bytes));
                    self.world.ledger.lock().unwrap().insert(digest, bytes);
                }
                AgentOutput::Accept { desired, .. } => {
                    self.world.accepted.lock().unwrap().push(desired.generation.0);
                    todo.extend(self.session.on_ledger(desired.generation, now()));
                }
                AgentOutput::Refused { reason, .. } => self.world.refused.lock().unwrap().push(reason),
                AgentOutput::OpenStream { id, request } => self.open(id, request),
                AgentOutput::StreamCredit { id, bytes } => {
                    let (credit, _) = &self.streams[&id];
                    credit.0.lock().unwrap().grant(bytes);
                    credit.1.notify_one();
                }
                AgentOutput::CloseStream { id } => {
                    if let Some((_, task)) = self.streams.remove(&id) {
                        task.abort();
                    }
                    self.world.streams_closed.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn open(&mut self, id: StreamId, request: Open) {
        let credit: Credit = Arc::new((Mutex::new(Outgoing::new(node(), id.clone())), Notify::new()));
        let (give, publisher, world) = (credit.clone(), self.publisher.clone(), self.world.clone());
        let task = match request {
            Open::Logs(request) => {
                self.tasks.spawn(produce(id.clone(), request.container, give, publisher, world))
            }
            Open::Usage => self.tasks.spawn(measure(id.clone(), give, publisher, world)),
        };
        self.streams.insert(id, (credit, task));
    }
}

/// Sends bytes as fast as it may.
async fn send(bytes: &[u8], credit: &Credit, publisher: &MqttPublisher, mut note: impl FnMut(usize)) {
    let mut sent = 0;
    while sent < bytes.len() {
        let frame = credit.0.lock().unwrap().frame(&bytes[sent..]);
        let Some((message, size)) = frame else {
            credit.1.notified().await;
            continue;
        };
        publisher.publish(message).await.unwrap();
        sent += size;
        note(sent);
    }
}

/// The last frame of a stream that sent nothing, or all.
fn end(id: &StreamId, error: Option<&str>) -> Message {
    Outgoing::new(node(), id.clone()).close(error.map(str::to_owned))
}

async fn produce(
    id: StreamId,
    container: String,
    credit: Credit,
    publisher: MqttPublisher,
    world: Arc<AgentWorld>,
) -> StreamId {
    match container.as_str() {
        "log" => {
            let log = world.log.lock().unwrap().clone();
            send(&log, &credit, &publisher, |sent| world.log_sent.store(sent as u64, Ordering::SeqCst)).await;
            publisher.publish(end(&id, None)).await.unwrap();
        }
        "silent" => std::future::pending().await,
        other => publisher.publish(end(&id, Some(&format!("no container {other}")))).await.unwrap(),
    }
    id
}

async fn measure(id: StreamId, credit: Credit, publisher: MqttPublisher, world: Arc<AgentWorld>) -> StreamId {
    world.usage_asked.fetch_add(1, Ordering::SeqCst);
    let usage = world.usage.lock().unwrap().clone();
    match usage {
        Some(usage) => {
            send(&usage, &credit, &publisher, |_| ()).await;
            publisher.publish(end(&id, None)).await.unwrap();
        }
        None => publisher.publish(end(&id, Some("nothing was measured yet"))).await.unwrap(),
    }
    id
}

pub(crate) fn info() -> NodeInfo {
    NodeInfo {
        address: [10, 0, 0, 1].into(),
        hostname: "gw".into(),
        architecture: "arm64".into(),
        kernel: "6.1".into(),
        os_image: "Debian".into(),
        machine_id: "m".into(),
        boot_id: "b".into(),
        agent_version: "0.1.0".into(),
        cpu: CpuMillis(4000),
        memory: ByteSize(1 << 30),
        disk: ByteSize(1 << 33),
        cpu_reserved: CpuMillis(0),
        memory_reserved: ByteSize(0),
        disk_reserved: Default::default(),
        devices: Default::default(),
        max_pods: 110,
        labels: BTreeMap::new(),
        conditions: Vec::new(),
    }
}

pub(crate) fn pod(uid: &str, message: &str) -> PodStatus {
    PodStatus {
        uid: uid.parse().unwrap(),
        namespace: "default".into(),
        name: uid.into(),
        manifest: Digest::of(b"m"),
        phase: PodPhase::Running,
        reason: None,
        message: Some(message.into()),
        ip: None,
        started_at: None,
        rolled_back: None,
        resize: None,
        init_containers: Vec::new(),
        containers: Vec::new(),
    }
}

pub(crate) fn log_request(container: &str) -> LogRequest {
    LogRequest {
        pod: "pod-0".parse().unwrap(),
        container: container.into(),
        follow: false,
        previous: false,
        timestamps: false,
        tail: None,
        since: None,
        limit_bytes: None,
    }
}

/// A message whose body is whatever is given.
pub(crate) fn raw(topic: Topic, payload: &[u8]) -> Message {
    Message { topic, payload: payload.to_vec() }
}
