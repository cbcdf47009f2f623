//! Documents for tests.

use std::collections::BTreeMap;

use gannet_protocols_model::{
    ByteSize, ConfigBlob, CpuMillis, Desired, Digest, Generation, Manifest, Network, NodeInfo, NodeName,
    PodEntry, PodPhase, PodStatus, PodUid, SigningKey, Timestamp,
};

pub(crate) const KEY: [u8; 32] = [1; 32];

pub(crate) fn node() -> NodeName {
    "gw".parse().unwrap()
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
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

pub(crate) fn pods(list: &[(&str, &str)]) -> BTreeMap<PodUid, PodStatus> {
    list.iter().map(|(uid, message)| (uid.parse().unwrap(), pod(uid, message))).collect()
}

/// A manifest whose container takes its environment from a config blob.
pub(crate) fn manifest(config: &Digest) -> Vec<u8> {
    let text = format!(
        r#"{{"version":1,"restart_policy":"Always","termination_grace_seconds":30,"containers":[{{"name":"c","image":"busybox:1","pull_policy":"IfNotPresent","env":[{{"name":"","value":{{"all":{{"blob":"{config}","prefix":""}}}}}}]}}]}}"#
    );
    let value = Manifest::parse(text.as_bytes()).expect(&text);
    assert_eq!(value.blobs(), [*config]);
    text.into_bytes()
}

/// A signed document of so many pods, and the blobs that it closes over.
pub(crate) fn document(generation: u64, pods: usize) -> (Vec<u8>, BTreeMap<Digest, Vec<u8>>) {
    let mut blobs = BTreeMap::new();
    let mut keep = |bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        blobs.insert(digest, bytes);
        digest
    };
    let network = keep(Network { domain: "cluster.local".into(), ..Network::default() }.to_bytes());
    let pods = (0..pods)
        .map(|n| {
            let config = ConfigBlob::new([("A".to_owned(), format!("{generation}-{n}").into_bytes())]);
            let config = keep(config.to_bytes());
            PodEntry {
                uid: format!("pod-{n}").parse().unwrap(),
                namespace: "default".into(),
                name: format!("pod-{n}"),
                manifest: keep(manifest(&config)),
                fields: BTreeMap::new(),
                owner: None,
                progress_deadline_seconds: None,
                stop_within_seconds: None,
            }
        })
        .collect();
    let desired = Desired {
        version: 1,
        node: node(),
        generation: Generation(generation),
        pods,
        network: Some(network),
    };
    (SigningKey::from_seed(&KEY).sign(&desired.to_bytes()).to_bytes(), blobs)
}
