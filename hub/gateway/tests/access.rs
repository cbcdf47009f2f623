//! Who gets in at the embedded broker, and how far.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use gannet_hub_gateway::Broker;
use gannet_protocols_link::{Link, LinkEvent, Message};
use gannet_protocols_model::Session;
use gannet_protocols_mqtt::{MqttConfig, MqttLink};
use gannet_protocols_wire::{NodeState, Topic};
use support::{DEADLINE, Pki, name, url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

fn state(node: &str, session: u64) -> Message {
    Message::new(Topic::State(name(node)), &NodeState { alive: true, session: Session(session) })
}

fn link(
    broker: &Broker,
    tls: Arc<rustls::ClientConfig>,
    client_id: &str,
    edit: impl FnOnce(&mut MqttConfig),
) -> MqttLink {
    let mut config = MqttConfig { tls: Some(tls), ..MqttConfig::new(url(broker), client_id) };
    edit(&mut config);
    MqttLink::connect(config).unwrap()
}

async fn next(link: &mut MqttLink) -> LinkEvent {
    timeout(DEADLINE, link.next()).await.expect("nothing happened")
}

async fn refused(mut link: MqttLink, what: &str) {
    let event = next(&mut link).await;
    assert!(matches!(event, LinkEvent::Down { .. }), "{what}: {event:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_stay_outside() {
    let (pki, other) = (Pki::new(), Pki::new());
    let broker = pki.broker().await;
    let a = || pki.node(&name("a"));
    refused(link(&broker, pki.client_of(&other, "system:node:a", "system:nodes"), "a", |_| ()), "foreign CA")
        .await;
    refused(link(&broker, pki.client_of(&other, "admin", "system:masters"), "x", |_| ()), "foreign admin")
        .await;
    refused(link(&broker, pki.anonymous(), "a", |_| ()), "no certificate").await;
    refused(link(&broker, pki.client("somebody", "system:nobody"), "a", |_| ()), "no business here").await;
    refused(link(&broker, a(), "b", |_| ()), "another's client id").await;
    refused(
        link(&broker, a(), "b", |c| c.credentials = Some(("system:node:b".into(), "x".into()))),
        "a user name",
    )
    .await;
    refused(link(&broker, a(), "a", |c| c.will = Some(state("b", 1))), "a will in another's name").await;
    let plain = MqttConfig::new(url(&broker).replace("mqtts", "mqtt"), "a");
    refused(MqttLink::connect(plain).unwrap(), "plain TCP").await;
    let mut good = link(&broker, a(), "a", |c| c.will = Some(state("a", 1)));
    assert_eq!(next(&mut good).await, LinkEvent::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_neither_hears_nor_speaks_for_another() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let mut admin = link(&broker, pki.hub(), "gannet/hub", |c| c.subscriptions = vec!["#".into()]);
    assert_eq!(next(&mut admin).await, LinkEvent::Up);
    for filter in
        ["#", "gannet/v1/node/b/desired", "gannet/v1/node/+/desired", "$share/g/gannet/v1/node/b/desired"]
    {
        let mut spy = link(&broker, pki.node(&name("a")), "a", |c| c.subscriptions = vec![filter.into()]);
        let event = next(&mut spy).await;
        assert!(matches!(event, LinkEvent::Down { .. }), "{filter}: {event:?}");
    }
    let own = Topic::node_subscriptions(&name("a")).to_vec();
    let mut a = link(&broker, pki.node(&name("a")), "a", |c| c.subscriptions = own);
    assert_eq!(next(&mut a).await, LinkEvent::Up);
    a.publish(state("b", 66)).await.unwrap();
    a.publish(Message { topic: Topic::HubState, payload: b"{}".to_vec() }).await.unwrap();
    a.publish(Message { topic: Topic::Desired(name("a")), payload: b"{}".to_vec() }).await.unwrap();
    a.publish(state("a", 1)).await.unwrap();
    assert_eq!(
        next(&mut admin).await,
        LinkEvent::Message(state("a", 1)),
        "only what is its own came through"
    );
    let desired = Message { topic: Topic::Desired(name("b")), payload: b"secret".to_vec() };
    admin.publish(desired.clone()).await.unwrap();
    assert_eq!(next(&mut admin).await, LinkEvent::Message(desired));
    let mine = Message { topic: Topic::Desired(name("a")), payload: b"mine".to_vec() };
    admin.publish(mine.clone()).await.unwrap();
    assert_eq!(next(&mut a).await, LinkEvent::Message(mine), "and not what was for another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stand_still_keep_nobody_out() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(tokio::net::TcpStream::connect(broker.addresses()[0]).await.unwrap());
    }
    let mut half = tokio::net::TcpStream::connect(broker.addresses()[0]).await.unwrap();
    half.write_all(&[22, 3, 1]).await.unwrap();
    let mut good = link(&broker, pki.node(&name("a")), "a", |_| ());
    assert_eq!(timeout(Duration::from_secs(5), good.next()).await, Ok(LinkEvent::Up));
    drop((idle, half));
}

/// A connection that is half open, as behind a NAT that forgot it: the broker says so after one and a half keep-alives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_connection_is_found() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let mut admin = link(&broker, pki.hub(), "gannet/hub", |c| c.subscriptions = vec!["gannet/v1/#".into()]);
    assert_eq!(next(&mut admin).await, LinkEvent::Up);
    let tcp = tokio::net::TcpStream::connect(broker.addresses()[0]).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(pki.node(&name("a")));
    let server = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut socket = connector.connect(server, tcp).await.unwrap();
    let death = NodeState { alive: false, session: Session(1) };
    let death = Message::new(Topic::State(name("a")), &death);
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0x2e, 0, 6, 0, 1, b'a'];
    for field in [death.topic.to_string().as_bytes(), &death.payload] {
        body.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
        body.extend_from_slice(field);
    }
    socket.write_all(&[0x10, u8::try_from(body.len()).unwrap()]).await.unwrap();
    socket.write_all(&body).await.unwrap();
    socket.flush().await.unwrap();
    let mut connack = [0; 4];
    timeout(DEADLINE, socket.read_exact(&mut connack)).await.unwrap().unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);
    let started = std::time::Instant::now();
    assert_eq!(next(&mut admin).await, LinkEvent::Message(death));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(11), "one and a half keep-alives are 9 s, this took {took:?}");
}
