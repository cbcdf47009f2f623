//! The whole exchange between a hub and a node, over the embedded broker with mutual TLS and over mosquitto.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use gannet_protocols_link::{DownReason, Fact, Link, LinkEvent};
use gannet_protocols_model::{Generation, Session};
use gannet_protocols_mqtt::{MqttConfig, MqttLink};
use gannet_protocols_wire::{Get, Topic};
use support::{DEADLINE, Mosquitto, Pki, TestAgent, fact, node, raw, start_gateway, until, url};

type Tls = Option<Arc<rustls::ClientConfig>>;

async fn exchange(url: &str, hub_tls: Tls, node_tls: Tls) {
    let (gateway, mut facts, tasks, blobs) = start_gateway(url, hub_tls, |_| ());
    // Before the node is there: the broker keeps it.
    gateway.publish_desired(&node(), Generation(1), blobs.document(1, 20)).await.unwrap();
    let agent = TestAgent::start(url, node_tls.clone(), 1);
    agent.observe(&[("pod-0", "starts")]);
    fact(&mut facts, "birth", |f| matches!(f, Fact::NodeUp { session: Session(1), .. })).await;
    assert!(gateway.connected(&node()));
    until("the document", || *agent.world.accepted.lock().unwrap() == [1]).await;
    assert_eq!(agent.world.ledger.lock().unwrap().len(), 41, "20 manifests and configs, and the network");
    fact(&mut facts, "generation", |f| matches!(f, Fact::Generation { generation: Generation(1), .. })).await;

    agent.observe(&[("pod-0", "runs"), ("pod-1", "runs")]);
    fact(
        &mut facts,
        "report",
        |f| matches!(f, Fact::Report { report, .. } if report.pods.len() == 2 && !report.whole),
    )
    .await;
    gateway.publish_desired(&node(), Generation(2), blobs.document(2, 1)).await.unwrap();
    until("the next document", || *agent.world.accepted.lock().unwrap() == [1, 2]).await;
    let forged = gannet_protocols_model::SigningKey::from_seed(&[9; 32]).sign(b"{}").to_bytes();
    gateway.publish_desired(&node(), Generation(3), forged.into()).await.unwrap();
    until("the refusal", || agent.world.refused.lock().unwrap().len() == 1).await;
    fact(&mut facts, "the refusal's report", |f| {
        matches!(f, Fact::Report { report, .. } if report.events.iter().any(|e| e.reason == "DesiredRefused"))
    })
    .await;
    assert_eq!(*agent.world.accepted.lock().unwrap(), [1, 2]);

    agent.kill().await;
    let started = std::time::Instant::now();
    fact(&mut facts, "death", |f| {
        matches!(f, Fact::NodeDown { session: Session(1), why: DownReason::Died, .. })
    })
    .await;
    assert!(started.elapsed() < Duration::from_secs(5), "the will came late: {:?}", started.elapsed());
    assert!(!gateway.connected(&node()));
    let again = TestAgent::start(url, node_tls, 2);
    fact(&mut facts, "rebirth", |f| matches!(f, Fact::NodeUp { session: Session(2), .. })).await;
    let metrics = gateway.metrics().await.unwrap();
    assert_eq!(
        (metrics.nodes_up, metrics.counters.malformed.len(), metrics.dropped),
        (1, 0, 0),
        "{metrics:?}"
    );
    assert!(
        metrics.bytes_in > 0 && metrics.bytes_out > 0 && metrics.counters.blobs_sent >= 41,
        "{metrics:?}"
    );
    tasks.stop().await;
    again.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_embedded_broker() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    exchange(&url(&broker), Some(pki.hub()), Some(pki.node(&node()))).await;
    let address = broker.addresses()[0];
    broker.stop().await;
    std::net::TcpListener::bind(address).expect("the port is free after the stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mosquitto() {
    let broker = Mosquitto::start();
    exchange(&broker.url, None, None).await;
}

/// A hub that starts anew, at a broker that kept everything or lost everything, knows the fleet again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_hub_knows_the_node_again() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let (_, mut facts, tasks, _) = start_gateway(&url(&broker), Some(pki.hub()), |_| ());
    let agent = TestAgent::start(&url(&broker), Some(pki.node(&node())), 1);
    agent.observe(&[("pod-0", "runs")]);
    fact(&mut facts, "birth", |f| matches!(f, Fact::NodeUp { .. })).await;
    tasks.stop().await;
    let (gateway, mut facts, _tasks, _) = start_gateway(&url(&broker), Some(pki.hub()), |c| c.hub.epoch = 2);
    fact(&mut facts, "birth", |f| matches!(f, Fact::NodeUp { .. })).await;
    fact(
        &mut facts,
        "report",
        |f| matches!(f, Fact::Report { report, .. } if report.whole && report.pods.len() == 1),
    )
    .await;
    assert!(gateway.connected(&node()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_are_counted_and_change_nothing() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let (gateway, mut facts, _tasks, blobs) = start_gateway(&url(&broker), Some(pki.hub()), |_| ());
    let mut link = MqttLink::connect(MqttConfig {
        tls: Some(pki.node(&node())),
        subscriptions: Topic::node_subscriptions(&node()).to_vec(),
        ..MqttConfig::new(url(&broker), "gw")
    })
    .unwrap();
    // The hub says that it serves once it listens: what was sent earlier, nobody heard.
    let serves =
        async { while !matches!(link.next().await, LinkEvent::Message(m) if m.topic == Topic::HubState) {} };
    tokio::time::timeout(DEADLINE, serves).await.unwrap();
    let stream = "s1".parse().unwrap();
    let topics = [Topic::State(node()), Topic::Report(node()), Topic::Beat(node()), Topic::Get(node())];
    for topic in topics.into_iter().chain([Topic::StreamUp(node(), stream)]) {
        for payload in [&b"nonsense"[..], b"", b"\xff\xfe", b"[[[[[[[[", b"{\"session\":-1}"] {
            link.publish(raw(topic.clone(), payload)).await.unwrap();
        }
    }
    // A blob of nobody's document is refused; and this tells that what was sent before has been read.
    let digest = gannet_protocols_model::Digest::of(b"a secret of another node");
    link.publish(gannet_protocols_link::Message::new(Topic::Get(node()), &Get { digest })).await.unwrap();
    let reply = async {
        loop {
            if let LinkEvent::Message(message) = link.next().await
                && message.topic == Topic::Blob(node(), digest)
            {
                return message.body::<gannet_protocols_wire::BlobReply>().unwrap();
            }
        }
    };
    let reply = tokio::time::timeout(DEADLINE, reply).await.unwrap();
    assert!(reply.bytes().unwrap_err().contains("no document"));
    let metrics = gateway.metrics().await.unwrap();
    let counts: Vec<(&str, u64)> = metrics.counters.malformed.iter().map(|(k, v)| (*k, *v)).collect();
    // rmqtt keeps nothing of an empty retained message, but delivers it.
    assert_eq!(counts, [("beat", 5), ("get", 5), ("report", 5), ("state", 5), ("stream-up", 5)]);
    assert!(facts.try_recv().is_err(), "nothing became known");
    drop(link);
    let agent = TestAgent::start(&url(&broker), Some(pki.node(&node())), 1);
    gateway.publish_desired(&node(), Generation(1), blobs.document(1, 1)).await.unwrap();
    until("the document", || *agent.world.accepted.lock().unwrap() == [1]).await;
}
