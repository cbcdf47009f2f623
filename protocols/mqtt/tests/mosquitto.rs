//! The link against an MQTT broker of another make: Debian's mosquitto.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gannet_protocols_link::{Link, LinkError, LinkEvent, Message};
use gannet_protocols_model::{NodeName, Session};
use gannet_protocols_mqtt::{MqttConfig, MqttLink};
use gannet_protocols_wire::{HubState, NodeState, Topic};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

struct Mosquitto {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Mosquitto {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let config = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let child = Self::spawn(dir.path());
        Self { child, port, dir }
    }

    fn spawn(dir: &Path) -> Child {
        Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(dir.join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is not installed: apt-get install mosquitto")
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn link(&self, client_id: &str, edit: impl FnOnce(&mut MqttConfig)) -> MqttLink {
        let mut config = MqttConfig::new(format!("mqtt://127.0.0.1:{}", self.port), client_id);
        config.keep_alive = Duration::from_secs(5);
        edit(&mut config);
        MqttLink::connect(config).unwrap()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn node() -> NodeName {
    "gw".parse().unwrap()
}

fn state(alive: bool) -> Message {
    Message::new(Topic::State(node()), &NodeState { alive, session: Session(1) })
}

async fn wait(link: &mut MqttLink, wanted: impl Fn(&LinkEvent) -> bool) -> LinkEvent {
    timeout(DEADLINE, async {
        loop {
            let event = link.next().await;
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
    .expect("the event did not come")
}

async fn up(link: &mut MqttLink) {
    wait(link, |e| *e == LinkEvent::Up).await;
}

async fn message(link: &mut MqttLink, expect: &Message) {
    wait(link, |e| *e == LinkEvent::Message(expect.clone())).await;
}

#[tokio::test]
async fn messages_retention_and_wills() {
    let broker = Mosquitto::start();
    let mut hub = broker.link("hub", |c| c.subscriptions = Topic::hub_subscriptions().to_vec());
    up(&mut hub).await;
    let alive = Message::new(Topic::HubState, &HubState { alive: true, epoch: 1 });
    hub.publish(alive.clone()).await.unwrap();
    let mut agent = broker.link("gw", |c| {
        c.subscriptions = Topic::node_subscriptions(&node()).to_vec();
        c.will = Some(state(false));
    });
    up(&mut agent).await;
    message(&mut agent, &alive).await;
    agent.publish(state(true)).await.unwrap();
    message(&mut hub, &state(true)).await;
    let size = gannet_protocols_wire::MAX_MESSAGE_BYTES;
    let big = Message { topic: Topic::Report(node()), payload: vec![b'x'; size] };
    agent.publish(big.clone()).await.unwrap();
    message(&mut hub, &big).await;
    let huge = Message { topic: Topic::Report(node()), payload: vec![b'x'; size + 1] };
    assert_eq!(agent.publish(huge).await, Err(LinkError::Size { size: size + 1 }));
    drop(agent);
    message(&mut hub, &state(false)).await;
}

#[tokio::test]
async fn taking_leave_does_not_publish_the_will() {
    let broker = Mosquitto::start();
    let mut hub = broker.link("hub", |c| c.subscriptions = Topic::hub_subscriptions().to_vec());
    up(&mut hub).await;
    let mut agent = broker.link("gw", |c| c.will = Some(state(false)));
    up(&mut agent).await;
    agent.publish(state(true)).await.unwrap();
    agent.close().await;
    message(&mut hub, &state(true)).await;
    let marker =
        Message::new(Topic::State("other".parse().unwrap()), &NodeState { alive: true, session: Session(1) });
    hub.publish(marker.clone()).await.unwrap();
    let next = wait(&mut hub, |_| true).await;
    assert_eq!(next, LinkEvent::Message(marker), "the will was published");
}

#[tokio::test]
async fn a_broker_that_was_away_is_found_again() {
    let mut broker = Mosquitto::start();
    let mut hub = broker.link("hub", |c| c.subscriptions = Topic::hub_subscriptions().to_vec());
    up(&mut hub).await;
    broker.stop();
    wait(&mut hub, |e| matches!(e, LinkEvent::Down { .. })).await;
    assert_eq!(hub.publish(state(true)).await, Err(LinkError::Down));
    broker.child = Mosquitto::spawn(broker.dir.path());
    up(&mut hub).await;
    hub.publish(state(true)).await.unwrap();
    message(&mut hub, &state(true)).await;
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_once() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut link = MqttLink::connect(MqttConfig::new(format!("mqtt://127.0.0.1:{port}"), "x")).unwrap();
    wait(&mut link, |e| matches!(e, LinkEvent::Down { .. })).await;
    assert!(timeout(Duration::from_secs(2), link.next()).await.is_err(), "each attempt is told");
    link.close().await;
}

#[tokio::test]
async fn strange_topics_are_told_without_their_bytes() {
    let broker = Mosquitto::start();
    let mut all = broker.link("all", |c| c.subscriptions = vec!["#".into()]);
    up(&mut all).await;
    let publish = |topic: &str| {
        let status = Command::new("/usr/bin/mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-t", topic, "-m", "{}"])
            .status();
        assert!(status.expect("mosquitto_pub is not installed: apt-get install mosquitto-clients").success());
    };
    for topic in ["elsewhere", "gannet/v1/node/A/state", "gannet/v1/node/gw/stream/x"] {
        publish(topic);
        wait(&mut all, |e| *e == LinkEvent::Malformed { topic: topic.into() }).await;
    }
}

/// A listener that accepts and says nothing, then breaks: the link gives up on it and comes again, ever more slowly.
#[tokio::test]
async fn a_connection_that_soon_fails_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let _link = MqttLink::connect(MqttConfig::new(url, "x")).unwrap();
    for _ in 0..3 {
        let (socket, _) = timeout(DEADLINE, listener.accept()).await.expect("another attempt").unwrap();
        drop(socket);
    }
}
