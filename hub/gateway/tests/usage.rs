//! The figures of `kubectl top`, through the device plane.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gannet_hub_gateway::{StreamError, UsageError};
use gannet_protocols_link::Fact;
use gannet_protocols_model::{ByteSize, ContainerUsage, NodeUsage, PodUsage, Timestamp, Usage};
use support::{Pki, TestAgent, fact, name, node, silent_node, start_gateway, url};

/// Figures of so many pods: many of them need more than one frame, and more than the window.
fn figures(pods: usize) -> NodeUsage {
    let usage = Usage { cpu_nanos: 12_345_678, memory: ByteSize(64 << 20), disk: ByteSize(1 << 20), pids: 7 };
    let pod = |n: usize| PodUsage {
        uid: format!("pod-{n}").parse().unwrap(),
        namespace: "default".to_owned(),
        name: format!("pod-{n}"),
        containers: vec![ContainerUsage { name: "app".to_owned(), usage }],
        volumes: ByteSize(0),
    };
    NodeUsage {
        at: Timestamp::from_millis(1_800_000_000_000),
        window_ms: 10_000,
        node: usage,
        agent: usage,
        pods: (0..pods).map(pod).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_come_when_they_are_asked_for() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let (gateway, mut facts, _tasks, _) = start_gateway(&url(&broker), Some(pki.hub()), |_| ());
    assert_eq!(
        gateway.usage(&name("other")).await,
        Err(StreamError::NotConnected { node: name("other") }.into())
    );
    let agent = TestAgent::start(&url(&broker), Some(pki.node(&node())), 1);
    fact(&mut facts, "birth", |f| matches!(f, Fact::NodeUp { .. })).await;
    let error = gateway.usage(&node()).await.unwrap_err();
    assert_eq!(error.to_string(), "node gw: nothing was measured yet");
    assert_eq!(agent.world.usage_asked.load(Ordering::SeqCst), 1, "asked once, when somebody wanted to know");
    for pods in [0, 3, 1000] {
        *agent.world.usage.lock().unwrap() = Some(serde_json::to_vec(&figures(pods)).unwrap());
        assert_eq!(gateway.usage(&node()).await.unwrap(), figures(pods), "{pods} pods");
    }
    for (bytes, expected) in [
        (
            b"{}".to_vec(),
            "node gw answered with figures that do not parse: missing field `at` at line 1 column 2",
        ),
        (vec![b' '; 2 << 20], "node gw answered with more than 1048576 bytes of figures"),
    ] {
        *agent.world.usage.lock().unwrap() = Some(bytes);
        assert_eq!(gateway.usage(&node()).await.unwrap_err().to_string(), expected);
    }
    assert_eq!(gateway.metrics().await.unwrap().streams, 0, "every stream was closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_says_nothing_is_not_waited_for() {
    let pki = Pki::new();
    let broker = pki.broker().await;
    let (gateway, mut facts, _tasks, _) = start_gateway(&url(&broker), Some(pki.hub()), |_| ());
    let _link = silent_node(&pki, &broker, &mut facts).await;
    let begun = Instant::now();
    let late = StreamError::Timeout { node: node(), seconds: 3 };
    assert_eq!(gateway.usage(&node()).await, Err(UsageError::Stream(late)));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(gateway.metrics().await.unwrap().streams, 0);
}
