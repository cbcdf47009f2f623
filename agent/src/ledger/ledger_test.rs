use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use gannet_agent_core::{PodRecord, RollbackMemory};
use gannet_protocols_model::{Desired, Digest, Generation, NodeName, PodEntry, SigningKey, Timestamp};

use super::*;

fn node() -> NodeName {
    "gw-1".parse().unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(dir, &node(), &key().verifying_key()).unwrap()
}

fn document(generation: u64, manifests: &[Digest]) -> (Desired, Vec<u8>) {
    let pods = manifests.iter().enumerate().map(|(i, manifest)| PodEntry {
        uid: format!("u{i}").parse().unwrap(),
        namespace: "default".into(),
        name: format!("p{i}"),
        manifest: *manifest,
        fields: BTreeMap::new(),
        owner: None,
        progress_deadline_seconds: None,
        stop_within_seconds: None,
    });
    let desired = Desired {
        version: 1,
        node: node(),
        generation: Generation(generation),
        pods: pods.collect(),
        network: None,
    };
    let envelope = key().sign(&desired.to_bytes()).to_bytes();
    (desired, envelope)
}

fn accept(ledger: &Ledger, generation: u64) {
    let (desired, envelope) = document(generation, &[]);
    ledger.accept(desired, &envelope).unwrap();
}

fn generation(dir: &Path) -> Option<u64> {
    open(dir).desired().map(|(desired, _)| desired.generation.0)
}

#[test]
fn the_newest_document_counts_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(generation(dir.path()), None);
    for next in [1, 2, 3, 9] {
        accept(&open(dir.path()), next);
        assert_eq!(generation(dir.path()), Some(next));
    }
}

#[test]
fn an_older_document_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    accept(&ledger, 5);
    let (desired, envelope) = document(4, &[]);
    assert!(matches!(ledger.accept(desired, &envelope), Err(LedgerError::Generation { .. })));
    accept(&ledger, 5);
    assert_eq!(generation(dir.path()), Some(5));
}

#[test]
fn a_torn_slot_leaves_the_old_document_wherever_it_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    accept(&ledger, 1);
    accept(&ledger, 2);
    let newest = dir.path().join("desired.b");
    let whole = fs::read(&newest).unwrap();
    for length in 0..whole.len() {
        fs::write(&newest, &whole[..length]).unwrap();
        assert_eq!(generation(dir.path()), Some(1), "torn after {length} bytes");
    }
    // Bytes that the flash never got, as zeros.
    for length in (0..whole.len()).step_by(7) {
        let zeros = vec![0; whole.len() - length];
        fs::write(&newest, [&whole[..length], &zeros].concat()).unwrap();
        assert_eq!(generation(dir.path()), Some(1), "zeros after {length} bytes");
    }
    // The next document goes over the torn one, not over the good one.
    let ledger = open(dir.path());
    accept(&ledger, 3);
    assert_eq!(generation(dir.path()), Some(3));
    fs::remove_file(&newest).unwrap();
    assert_eq!(generation(dir.path()), Some(1));
}

#[test]
fn a_document_of_another_key_or_node_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    accept(&open(dir.path()), 5);
    let other_key =
        Ledger::open(dir.path(), &node(), &SigningKey::from_seed(&[2; 32]).verifying_key()).unwrap();
    assert!(other_key.desired().is_none());
    let other_node = Ledger::open(dir.path(), &"gw-2".parse().unwrap(), &key().verifying_key()).unwrap();
    assert!(other_node.desired().is_none());
}

#[test]
fn damaged_blobs_are_set_aside_and_can_be_kept_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let digest = Digest::of(b"blob");
    ledger.keep_blob(&digest, b"blob").unwrap();
    assert!(matches!(ledger.keep_blob(&digest, b"other"), Err(LedgerError::Digest { .. })));
    let path = dir.path().join("blobs/sha256").join(digest.hex());
    fs::write(&path, b"blub").unwrap();
    assert_eq!(ledger.blob(&digest), None);
    assert!(!path.exists());
    ledger.keep_blob(&digest, b"blob").unwrap();
    assert_eq!(ledger.blob(&digest).as_deref(), Some(&b"blob"[..]));
}

#[test]
fn garbage_is_what_neither_document_names() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let keep = |text: &str| {
        let digest = Digest::of(text.as_bytes());
        ledger.keep_blob(&digest, text.as_bytes()).unwrap();
        digest
    };
    let (old, new, unused) = (keep("old"), keep("new"), keep("unused"));
    for (generation, manifest) in [(1, old), (2, new)] {
        let (desired, envelope) = document(generation, &[manifest]);
        ledger.accept(desired, &envelope).unwrap();
    }
    assert_eq!(ledger.collect_garbage().unwrap(), 1);
    assert_eq!([old, new, unused].map(|d| ledger.blob(&d).is_some()), [true, true, false]);
    accept(&ledger, 3);
    ledger.collect_garbage().unwrap();
    assert_eq!(
        [old, new].map(|d| ledger.blob(&d).is_some()),
        [false, true],
        "the document before the last still counts"
    );
}

#[test]
fn numbers_and_records() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_millis(1_769_860_800_000);
    assert_eq!(open(dir.path()).numbers.next_session(now).0, 1_769_860_800);
    assert_eq!(open(dir.path()).numbers.next_session(Timestamp::default()).0, 1_769_860_801);

    let ledger = open(dir.path());
    ledger.numbers.raise_time(now).unwrap();
    ledger.numbers.raise_time(Timestamp::from_millis(5)).unwrap();
    assert_eq!(open(dir.path()).numbers.time_floor(), now);

    let record = PodRecord::stranger(&"u".parse().unwrap(), now);
    let records = BTreeMap::from([("u".parse().unwrap(), record)]);
    ledger.records.save(&records).unwrap();
    assert_eq!(open(dir.path()).records.load(), records);
    fs::write(dir.path().join("pods.json"), b"{\"u\":").unwrap();
    assert!(open(dir.path()).records.load().is_empty());
    assert!(ledger.bytes_written() > 0);
}

#[test]
fn what_may_be_gone_back_to_is_no_garbage() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let config = b"{\"data\":{}}";
    let blob = Digest::of(config);
    let manifest = serde_json::json!({
        "version": 1, "restart_policy": "Always", "termination_grace_seconds": 5,
        "containers": [{"name": "a", "image": "a:1", "pull_policy": "Never",
            "env": [{"name": "", "value": {"all": {"blob": blob.to_string(), "prefix": ""}}}]}],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let digest = Digest::of(&manifest);
    ledger.keep_blob(&blob, config).unwrap();
    ledger.keep_blob(&digest, &manifest).unwrap();
    accept(&ledger, 1);
    ledger.keep(Kept { manifests: [digest].into(), images: BTreeSet::new() });
    assert_eq!(ledger.collect_garbage().unwrap(), 0);
    ledger.keep(Kept::default());
    assert_eq!(ledger.collect_garbage().unwrap(), 2);
}

#[test]
fn flipped_bytes_of_small_files_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::from_millis(1_769_860_800_000);
    let record = PodRecord::stranger(&"u".parse().unwrap(), now);
    let records = BTreeMap::from([("u".parse().unwrap(), record)]);
    let memory: RollbackMemory = serde_json::from_str(r#"{"owners":{"o":{}}}"#).unwrap();
    let write = |ledger: &Ledger| {
        ledger.records.save(&records).unwrap();
        ledger.rollbacks.save(&memory).unwrap();
        ledger.numbers.raise_time(now).unwrap();
    };
    write(&open(dir.path()));
    for name in ["pods.json", "rollback.json", "time"] {
        let path = dir.path().join(name);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            let ledger = open(dir.path());
            let found = (ledger.records.load(), ledger.rollbacks.load(), ledger.numbers.time_floor());
            let expect = match name {
                "pods.json" => (BTreeMap::new(), memory.clone(), now),
                "rollback.json" => (records.clone(), RollbackMemory::default(), now),
                _ => (records.clone(), memory.clone(), Timestamp::default()),
            };
            assert_eq!(found, expect, "byte {at} of {name}");
            assert!(dir.path().join(format!("{name}.bad")).exists(), "set aside");
        }
        write(&open(dir.path()));
    }
}

#[tokio::test]
async fn damage_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let (desired, envelope) = document(1, &[]);
    ledger.accept(desired, &envelope).unwrap();
    assert_eq!(ledger.envelope(), Some(envelope));
    let digest = Digest::of(b"blob");
    ledger.keep_blob(&digest, b"blob").unwrap();
    fs::write(dir.path().join("blobs/sha256").join(digest.hex()), b"blub").unwrap();
    assert_eq!(ledger.blob(&digest), None);
    ledger.damaged().await;
}
