//! Documents for tests.

use std::collections::BTreeMap;

use gannet_protocols_model::{Container, Digest, Manifest, PodEntry};

pub(crate) fn container(json: &str) -> Container {
    let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
    value.as_object_mut().unwrap().entry("pull_policy").or_insert("IfNotPresent".into());
    serde_json::from_value(value).unwrap()
}

pub(crate) fn manifest(json: &str) -> Manifest {
    let text = r#"{"version":1,"restart_policy":"Always","termination_grace_seconds":30,"containers":[]}"#;
    let mut manifest: Manifest = serde_json::from_str(text).unwrap();
    manifest.containers = vec![container(json)];
    manifest
}

pub(crate) fn entry() -> PodEntry {
    PodEntry {
        uid: "u-1".parse().unwrap(),
        namespace: "prod".into(),
        name: "web-1".into(),
        manifest: Digest::of(b"m"),
        fields: BTreeMap::from([("metadata.labels['app']".to_owned(), "web".to_owned())]),
        owner: None,
        progress_deadline_seconds: None,
        stop_within_seconds: None,
    }
}
