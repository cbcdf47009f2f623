//! With a hub behind a broker (mosquitto): documents come, reports and logs go.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use gannet_protocols_link::{Link as _, LinkEvent, Message};
use gannet_protocols_model::{ConfigBlob, Digest, Envelope, NodeUsage, PodUid, Report};
use gannet_protocols_mqtt::{MqttConfig, MqttLink};
use gannet_protocols_wire::{
    BlobReply, Down, Get, HubState, LogRequest, NodeState, Open, StreamId, Topic, Up,
};
use serde_json::{Value, json};

use crate::fixture::{NODE, Node, can_run, processes, send};

/// A broker that ends with the test.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn broker() -> Option<(Broker, u16)> {
    let program = "/usr/sbin/mosquitto";
    if !Path::new(program).exists() {
        eprintln!("skipped: needs mosquitto");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(program)
        .args(["-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some((Broker(child), port))
}

/// The hub's side, as much of it as the agent can see.
struct Hub {
    link: MqttLink,
    blobs: BTreeMap<Digest, Vec<u8>>,
    reports: Vec<Report>,
    alive: Vec<bool>,
    stream: String,
    closed: Option<Option<String>>,
}

impl Hub {
    async fn connect(port: u16) -> Self {
        let mut config = MqttConfig::new(format!("mqtt://127.0.0.1:{port}"), "hub");
        config.subscriptions = Topic::hub_subscriptions().to_vec();
        let mut link = MqttLink::connect(config).unwrap();
        while !matches!(link.next().await, LinkEvent::Up) {}
        link.publish(Message::new(Topic::HubState, &HubState { alive: true, epoch: 1 })).await.unwrap();
        Self {
            link,
            blobs: BTreeMap::new(),
            reports: vec![],
            alive: vec![],
            stream: String::new(),
            closed: None,
        }
    }

    async fn desired(&self, document: Vec<u8>) {
        Envelope::parse(&document).unwrap();
        let topic = Topic::Desired(NODE.parse().unwrap());
        self.link.publish(Message { topic, payload: document }).await.unwrap();
    }

    async fn down(&self, id: &str, down: &Down) {
        let id: StreamId = id.parse().unwrap();
        self.link.publish(Message::new(Topic::StreamDown(NODE.parse().unwrap(), id), down)).await.unwrap();
    }

    /// Answers the node until something is so.
    async fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is(self) {
                if let LinkEvent::Message(message) = self.link.next().await {
                    self.on(message).await;
                }
            }
        };
        let outcome = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(
            outcome.is_ok(),
            "not in time: {what}: {:#?} {:?} {:?}",
            self.reports,
            self.alive,
            self.stream
        );
    }

    async fn on(&mut self, message: Message) {
        match &message.topic {
            Topic::Get(node) => {
                let digest = message.body::<Get>().unwrap().digest;
                let reply = self
                    .blobs
                    .get(&digest)
                    .map_or(BlobReply::Refused("unknown".into()), |b| BlobReply::data(b));
                self.link.publish(Message::new(Topic::Blob(node.clone(), digest), &reply)).await.unwrap();
            }
            Topic::Report(_) => self.reports.push(message.body().unwrap()),
            Topic::State(_) => self.alive.push(message.body::<NodeState>().unwrap().alive),
            Topic::StreamUp(_, id) => match message.body::<Up>().unwrap() {
                Up::Data { data, .. } => {
                    let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
                    self.stream.push_str(&String::from_utf8(bytes.clone()).unwrap());
                    let id = id.to_string();
                    self.down(&id, &Down::Credit(bytes.len() as u64)).await;
                }
                Up::Close { error } => self.closed = Some(error),
            },
            _ => {}
        }
    }

    /// The newest status of a pod, as JSON.
    fn pod(&self, uid: &str) -> Value {
        let statuses = self.reports.iter().rev().flat_map(|r| &r.pods);
        statuses
            .into_iter()
            .find(|p| p.uid.as_str() == uid)
            .map_or(Value::Null, |p| serde_json::to_value(p).unwrap())
    }
}

fn logs(uid: &str, follow: bool) -> Down {
    let pod: PodUid = uid.parse().unwrap();
    Down::Open(Open::Logs(LogRequest {
        pod,
        container: "main".into(),
        follow,
        previous: false,
        timestamps: false,
        tail: None,
        since: None,
        limit_bytes: None,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_come_and_reports_and_logs_go() {
    let Some((_broker, port)) = broker().filter(|_| can_run()) else { return };
    let mut node = Node::new();
    node.flags = ["--mqtt-url", &format!("mqtt://127.0.0.1:{port}"), "--beat-interval", "1"]
        .map(str::to_owned)
        .to_vec();
    let mut hub = Hub::connect(port).await;
    node.start(&[]);
    hub.until("birth", |h| h.alive.last() == Some(&true)).await;

    // More than a window of log, so that the stream needs its credit.
    let script = "i=0; while [ $i -lt 4000 ]; do echo \"line $i of a log that is long enough to need credit\"; i=$((i+1)); done; echo end; exec sleep 1000";
    let manifest =
        Node::manifest(script, |m| m["containers"][0]["resources"] = json!({"memory_limit": 33_554_432}));
    let digest = Digest::of(&manifest);
    hub.blobs.insert(digest, manifest);
    let (uid, entry) = (node.uid("web"), node.entry("web", digest));
    let document = node.document(vec![entry.clone()]);
    hub.desired(document).await;
    let running = |h: &Hub| h.pod(&uid)["containers"][0]["state"].get("running").is_some();
    hub.until("the pod runs", |h| running(h)).await;
    assert!(hub.reports.iter().any(|r| r.node.is_some()), "the node told what it is");
    let reasons: Vec<&str> = hub.reports.iter().flat_map(|r| &r.events).map(|e| e.reason.as_str()).collect();
    assert_eq!(reasons, ["Pulling", "Pulled", "Created", "Started"]);

    hub.down("s1", &logs(&uid, true)).await;
    hub.until("the log came", |h| h.stream.ends_with("end\n")).await;
    assert_eq!(hub.stream.lines().count(), 4001);
    assert!(hub.closed.is_none(), "it follows");
    hub.down("s1", &Down::Close).await;
    hub.stream.clear();
    hub.down("s2", &logs("nobody", false)).await;
    hub.until("the refusal", |h| h.closed.is_some()).await;
    assert_eq!(hub.closed.take().flatten().as_deref(), Some("pod nobody is not on this node"));

    // What it uses, measured because somebody asks.
    hub.stream.clear();
    hub.down("s3", &Down::Open(Open::Usage)).await;
    hub.until("the usage came", |h| h.closed.is_some()).await;
    assert_eq!(hub.closed.take(), Some(None));
    let usage: NodeUsage = serde_json::from_str(&hub.stream).unwrap();
    assert!(usage.window_ms >= 500 && usage.node.memory.0 > 0 && usage.node.disk.0 > 0, "{usage:?}");
    assert!(usage.agent.memory.0 > 0 && usage.agent.pids >= 3, "agent, zygote and shim: {usage:?}");
    let pod = usage.pods.iter().find(|p| p.uid.as_str() == uid).unwrap();
    let main = &pod.containers[0];
    assert_eq!((main.name.as_str(), main.usage.pids), ("main", 1));
    assert!(main.usage.memory.0 > 0 && main.usage.disk.0 > 200_000, "its log is disk too: {pod:?}");

    // A forged document changes nothing.
    let forged = gannet_protocols_model::SigningKey::from_seed(&[9; 32]).sign(b"{}").to_bytes();
    hub.desired(forged).await;
    hub.until("the refusal is told", |h| {
        h.reports
            .iter()
            .filter_map(|r| r.node.as_ref())
            .any(|n| n.conditions.iter().any(|c| c.kind == "DesiredRefused" && c.holds))
    })
    .await;

    let mut going = entry;
    going.stop_within_seconds = Some(1);
    let document = node.document(vec![going]);
    hub.desired(document).await;
    let gone: PodUid = uid.parse().unwrap();
    hub.until("the pod is gone", |h| h.reports.iter().any(|r| r.removed.contains(&gone))).await;
    // One that the node never saw is told gone too.
    let mut unseen = node.entry("unseen", digest);
    unseen.stop_within_seconds = Some(1);
    let uid = unseen.uid.clone();
    let document = node.document(vec![unseen]);
    hub.desired(document).await;
    hub.until("the unseen pod is gone", |h| h.reports.iter().any(|r| r.removed.contains(&uid))).await;
    node.terminate();
    hub.until("an orderly death", |h| h.alive.last() == Some(&false)).await;
}

/// A node that talks to a hub of the test.
fn linked(port: u16) -> Node {
    let mut node = Node::new();
    let flags = ["--mqtt-url", &format!("mqtt://127.0.0.1:{port}"), "--beat-interval", "1"];
    node.flags = flags.map(str::to_owned).to_vec();
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_blob_is_fetched_again_while_the_agent_runs() {
    let Some((_broker, port)) = broker().filter(|_| can_run()) else { return };
    let mut node = linked(port);
    let mut hub = Hub::connect(port).await;
    node.start(&[]);
    hub.until("birth", |h| h.alive.last() == Some(&true)).await;
    let marker = format!("sleep 41{}", std::process::id());
    let config = ConfigBlob::new([("word".to_owned(), b"hello".to_vec())]).to_bytes();
    let blob = Digest::of(&config);
    let manifest = Node::manifest(&format!("echo $WORD; exec {marker}"), |m| {
        let value = json!({"key": {"blob": blob.to_string(), "key": "word"}});
        m["containers"][0]["env"] = json!([{"name": "WORD", "value": value}]);
    });
    let digest = Digest::of(&manifest);
    hub.blobs.extend([(blob, config.clone()), (digest, manifest)]);
    let (uid, entry) = (node.uid("web"), node.entry("web", digest));
    let document = node.document(vec![entry]);
    hub.desired(document).await;
    let runs = |h: &Hub, restarts: u64| {
        let container = &h.pod(&uid)["containers"][0];
        container["state"].get("running").is_some() && container["restart_count"] == restarts
    };
    hub.until("the pod runs", |h| runs(h, 0)).await;

    let path = node.data().join("ledger/blobs/sha256").join(blob.hex());
    let mut bytes = config.clone();
    bytes[10] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    processes(&marker).into_iter().for_each(|pid| send(pid, "KILL"));
    hub.until("it runs again", |h| runs(h, 1)).await;
    assert_eq!(std::fs::read(&path).unwrap(), config);
    assert_eq!(node.logs(&["web"]), "hello\n");
    node.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn pressure_and_evictions_are_told() {
    let Some((_broker, port)) = broker().filter(|_| can_run()) else { return };
    let mut node = linked(port);
    let toml = node.data().join("agent.toml");
    std::fs::write(&toml, "[eviction]\nmemory_available = \"100%\"\n").unwrap();
    node.flags.extend(["--config".to_owned(), toml.to_str().unwrap().to_owned()]);
    let mut hub = Hub::connect(port).await;
    node.start(&[]);
    let holds = |h: &Hub| {
        let told = h.reports.iter().rev().find_map(|r| r.node.as_ref());
        told.into_iter()
            .flat_map(|n| n.conditions.clone())
            .map(|c| (c.kind, c.holds, c.reason))
            .collect::<Vec<_>>()
    };
    let expect = [
        ("MemoryPressure", true, "KubeletHasInsufficientMemory"),
        ("DiskPressure", false, "KubeletHasNoDiskPressure"),
        ("PIDPressure", false, "KubeletHasSufficientPID"),
    ]
    .map(|(kind, holds, reason)| (kind.to_owned(), holds, reason.to_owned()));
    hub.until("memory pressure is told", |h| holds(h) == expect).await;
    let manifest = Node::manifest("exec sleep 1000", |_| ());
    let digest = Digest::of(&manifest);
    hub.blobs.insert(digest, manifest);
    let (uid, entry) = (node.uid("web"), node.entry("web", digest));
    let document = node.document(vec![entry]);
    hub.desired(document).await;
    hub.until("the pod is evicted", |h| h.pod(&uid)["reason"] == "Evicted").await;
    assert_eq!(hub.pod(&uid)["phase"], "Failed");
    hub.until("an event tells so", |h| {
        h.reports
            .iter()
            .flat_map(|r| &r.events)
            .any(|e| e.reason == "Evicted" && e.message.contains("memory"))
    })
    .await;
    node.terminate();
}
