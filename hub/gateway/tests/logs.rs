//! Logs through the device plane: flow control, errors, and ends.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use gannet_hub_gateway::{Broker, Gateway, GatewayTasks, StreamError};
use gannet_protocols_link::Fact;
use gannet_protocols_wire::WINDOW_BYTES;
use support::{Pki, TestAgent, fact, log_request, name, node, silent_node, start_gateway, until, url};
use tokio::sync::mpsc;

struct Fleet {
    gateway: Gateway,
    facts: mpsc::Receiver<Fact>,
    agent: TestAgent,
    _tasks: GatewayTasks,
    _broker: Broker,
    _pki: Pki,
}

async fn fleet() -> Fleet {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let (gateway, mut facts, tasks, _) = start_gateway(&url(&broker), Some(pki.hub()), |_| ());
    let agent = TestAgent::start(&url(&broker), Some(pki.node(&node())), 1);
    fact(&mut facts, "birth", |f| matches!(f, Fact::NodeUp { .. })).await;
    Fleet { gateway, facts, agent, _tasks: tasks, _broker: broker, _pki: pki }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_producer_stays_in_the_window_of_a_slow_reader() {
    let fleet = fleet().await;
    let world = &fleet.agent.world;
    let log: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[usize::try_from(n % 3).unwrap()]).collect();
    *world.log.lock().unwrap() = log.clone();
    let stream = fleet.gateway.logs(&node(), log_request("log")).await.unwrap();
    futures::pin_mut!(stream);
    // The window fills, and no more.
    until("the window", || world.log_sent.load(Ordering::SeqCst) >= WINDOW_BYTES).await;
    assert_eq!(fleet.gateway.metrics().await.unwrap().streams, 1);
    let mut read = Vec::new();
    while let Some(bytes) = stream.next().await {
        read.extend_from_slice(&bytes.unwrap());
        let sent = world.log_sent.load(Ordering::SeqCst);
        assert!(sent <= read.len() as u64 + WINDOW_BYTES, "{sent} sent, {} read", read.len());
    }
    assert!(read == log, "{} bytes of {}", read.len(), log.len());
    assert_eq!(fleet.gateway.metrics().await.unwrap().streams, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_said() {
    let mut fleet = fleet().await;
    let gateway = &fleet.gateway;
    let absent = gateway.logs(&name("other"), log_request("log")).await.err();
    assert_eq!(absent, Some(StreamError::NotConnected { node: name("other") }));
    let refused = gateway.logs(&node(), log_request("nginx")).await.err().unwrap();
    assert_eq!(refused.to_string(), "node gw: no container nginx");

    let stream = gateway.logs(&node(), log_request("silent")).await.expect("a log that says nothing yet");
    assert_eq!(gateway.metrics().await.unwrap().streams, 1);
    drop(stream);
    until("the close", || fleet.agent.world.streams_closed.load(Ordering::SeqCst) == 1).await;
    assert_eq!(gateway.metrics().await.unwrap().streams, 0);

    let stream = gateway.logs(&node(), log_request("silent")).await.unwrap();
    futures::pin_mut!(stream);
    fleet.agent.kill().await;
    fact(&mut fleet.facts, "death", |f| matches!(f, Fact::NodeDown { .. })).await;
    let end = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.unwrap();
    assert_eq!(end, Some(Err(StreamError::Lost { node: node() })));
    assert_eq!(stream.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_is_not_waited_for() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let (gateway, mut facts, _tasks, _) = start_gateway(&url(&broker), Some(pki.hub()), |_| ());
    let _link = silent_node(&pki, &broker, &mut facts).await;
    let error = gateway.logs(&node(), log_request("log")).await.err();
    assert_eq!(error, Some(StreamError::Timeout { node: node(), seconds: 10 }));
}
