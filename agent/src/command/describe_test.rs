use std::collections::BTreeMap;

use gannet_protocols_model::{Digest, EventKind, NodeEvent, PodEntry, PodPhase, RolledBack};
use gannet_tests_support::squeezed;
use serde_json::json;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn described() -> Described {
    let manifest: Manifest = serde_json::from_value(json!({
        "version": 1, "host_network": true, "restart_policy": "Always", "termination_grace_seconds": 5,
        "containers": [{"name": "main", "image": "busybox:1", "pull_policy": "IfNotPresent", "args": ["sh", "-c", "x"],
            "env": [{"name": "A", "value": {"text": "b"}},
                    {"name": "S", "value": {"key": {"blob": Digest::of(b"s"), "key": "password"}}}],
            "resources": {"cpu_limit": 500, "memory_limit": 67_108_864},
            "mounts": [{"volume": "data", "path": "/data", "read_only": true}],
            "liveness": {"action": {"tcp": {"port": 80, "host": null}}, "initial_delay_seconds": 1, "period_seconds": 2,
                "timeout_seconds": 3, "success_threshold": 1, "failure_threshold": 4}}],
        "volumes": [{"name": "data", "source": {"emptyDir": {"memory": true, "size_limit": 1_048_576}}}],
    }))
    .unwrap();
    let ended = Terminated {
        exit_code: 137,
        signal: Some(9),
        reason: "OOMKilled".into(),
        message: "too\nmuch".into(),
        started_at: Some(at(1)),
        finished_at: at(2),
    };
    let container = ContainerStatus {
        name: "main".into(),
        state: ContainerState::Running { started_at: at(3) },
        last: Some(ended),
        restart_count: 1,
        ready: true,
        started: true,
        resources: None,
        image_id: Some(Digest::of(b"i")),
        container_id: Some("u/main-1-x".into()),
    };
    let status = PodStatus {
        uid: "u".parse().unwrap(),
        namespace: "default".into(),
        name: "web".into(),
        manifest: Digest::of(b"m"),
        phase: PodPhase::Running,
        reason: None,
        message: None,
        ip: None,
        started_at: Some(at(0)),
        rolled_back: Some(RolledBack {
            failed: Digest::of(b"f"),
            at: at(4),
            reason: "ProgressDeadlineExceeded".into(),
            message: "last words".into(),
        }),
        resize: Some(Resize::Deferred("later".into())),
        init_containers: vec![],
        containers: vec![container],
    };
    let entry = PodEntry {
        uid: status.uid.clone(),
        namespace: "default".into(),
        name: "web".into(),
        manifest: status.manifest,
        owner: None,
        progress_deadline_seconds: None,
        fields: BTreeMap::from([("metadata.labels['app']".into(), "web".into())]),
        stop_within_seconds: None,
    };
    let event = NodeEvent {
        at: at(190),
        pod: Some(status.uid.clone()),
        container: Some("main".into()),
        kind: EventKind::Warning,
        reason: "BackOff".into(),
        message: "again".into(),
    };
    Described {
        node: "gw-1".parse().unwrap(),
        node_address: [10, 0, 0, 1].into(),
        status,
        entry: Some(entry),
        manifest: Some(manifest),
        events: vec![KeptEvent { event, first: at(100), count: 3 }],
        devices: BTreeMap::from([("main".into(), vec!["/dev/ttyUSB0".into()])]),
    }
}

#[test]
fn a_pod_is_described_as_kubectl_does() {
    let page = text(&described(), at(200));
    for line in [
        "Name:             web",
        "Node:             gw-1/10.0.0.1",
        "Labels:\n  app=web",
        "Annotations:      <none>",
        "Status:           Running",
        "  Reason:           ProgressDeadlineExceeded",
        "Resize:           Deferred: later",
        "Shared With Node: network",
        "  main:\n    Container ID:         u/main-1-x",
        "    State:                Running\n      Started:              1970-01-01T00:00:03",
        "    Last State:           Terminated\n      Reason:               OOMKilled\n      Message:              too\n                        much",
        "      Exit Code:            137\n      Signal:               9",
        "    Restart Count:        1",
        "    Limits:\n      cpu:                500m\n      memory:             64Mi",
        "    Liveness:             tcp-socket :80 delay=1s timeout=3s period=2s #success=1 #failure=4",
        "      A:  b\n      S:  <set to the key 'password' of ",
        "    Mounts:\n      /data from data (ro)",
        "    Device Nodes:\n      /dev/ttyUSB0",
        "  Ready             True",
        "  data:               EmptyDir, in memory, limit 1Mi",
        "  Warning   BackOff   10s (x3 over 100s)   main        again",
    ] {
        assert!(squeezed(&page).contains(&squeezed(line)), "{line:?} is not in\n{page}");
    }
    let mut bare = described();
    (bare.manifest, bare.entry, bare.events) = (None, None, Vec::new());
    assert!(text(&bare, at(200)).ends_with("Events:             <none>\n"));
}
