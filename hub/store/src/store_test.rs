use std::path::{Path, PathBuf};

use super::*;
use crate::{Event, EventKind, Expect, Op, WatchError};

fn put(key: &str, value: &str) -> Transaction {
    put_expecting(key, value, Expect::Any)
}

fn put_expecting(key: &str, value: &str, expect: Expect) -> Transaction {
    Op::Put { key: key.parse().unwrap(), value: value.into(), expect }.into()
}

fn delete(key: &str) -> Transaction {
    Op::Delete { key: key.parse().unwrap(), expect: Expect::Any }.into()
}

async fn commit(store: &Store, transaction: Transaction) -> Revision {
    match store.commit(transaction).await.unwrap() {
        Outcome::Committed { revision, .. } => revision,
        conflict => panic!("{conflict:?}"),
    }
}

fn value(store: &Store, key: &str) -> Option<String> {
    store.get(&key.parse().unwrap()).map(|s| String::from_utf8(s.value.to_vec()).unwrap())
}

fn text(event: &Event) -> String {
    let what = match &event.kind {
        EventKind::Put { created: true, .. } => "created",
        EventKind::Put { .. } => "changed",
        EventKind::Delete { .. } => "deleted",
    };
    format!("{} {what} {}", event.revision, event.key)
}

fn small(dir: &Path) -> Config {
    Config { history: 100, snapshot_every: 20, ..Config::single(dir) }
}

#[tokio::test]
async fn a_commit_is_seen_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::single(dir.path())).await.unwrap();
    assert!(store.is_leader());
    assert_eq!(store.recovery(), None);
    assert_eq!(commit(&store, put("pods/a/x", "1")).await, Revision(1));
    assert_eq!(commit(&store, put("pods/a/y", "1")).await, Revision(2));
    let conflict = store.commit(put_expecting("pods/a/x", "2", Expect::At(Revision(2)))).await.unwrap();
    assert_eq!(conflict, Outcome::Conflict { op: 0, found: Some(Revision(1)) });
    assert_eq!(commit(&store, delete("pods/a/y")).await, Revision(3));

    let busy = Store::open(Config::single(dir.path())).await.unwrap_err();
    assert!(matches!(busy, OpenError::Busy { .. }), "{busy}");
    store.shutdown().await;
    assert!(matches!(store.commit(put("pods/a/z", "1")).await, Err(CommitError::Stopped { .. })));

    let store = Store::open(Config::single(dir.path())).await.unwrap();
    assert_eq!(store.recovery(), None);
    assert_eq!(store.revision(), Revision(3));
    let x = store.get(&"pods/a/x".parse().unwrap()).unwrap();
    assert_eq!((x.created, x.modified, x.value.as_ref()), (Revision(1), Revision(1), b"1".as_slice()));
    assert_eq!(value(&store, "pods/a/y"), None);
    assert_eq!(commit(&store, put("pods/a/x", "4")).await, Revision(4));
    // History starts anew, and says so.
    assert_eq!(store.watch(None, None, Revision(2)).unwrap_err().oldest, Revision(3));
    store.shutdown().await;
}

#[tokio::test]
async fn refused_before_it_is_proposed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::single(dir.path())).await.unwrap();
    let check = async |transaction: Transaction, expected: &str| {
        let error = store.commit(transaction).await.unwrap_err();
        let CommitError::Invalid(source) = error else { panic!("{error:?}") };
        assert!(source.to_string().contains(expected), "{source}");
    };
    let two = Transaction {
        ops: [put("pods/a/x", ""), delete("pods/a/x")].into_iter().flat_map(|t| t.ops).collect(),
    };
    check(two, "twice").await;
    check(Op::Delete { key: Key::new("pods", "a/b", "x"), expect: Expect::Any }.into(), "bad key").await;
    check(put("pods/a/x", &"x".repeat(3 * 1024 * 1024)), "more than").await;
    check(Transaction { ops: (0..5000).flat_map(|n| delete(&format!("pods/a/{n}")).ops).collect() }, "5000")
        .await;
    assert_eq!(store.revision(), Revision(0));
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_miss_nothing_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config::single(dir.path())).await.unwrap();
    let mut watches = Vec::new();
    for namespace in [None, Some("a"), Some("b")] {
        let mut watch = store.watch(Some("pods"), namespace, Revision(0)).unwrap();
        watches.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Ok(event) = watch.next().await {
                seen.push((event.revision, event.key));
            }
            seen
        }));
    }
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..50 {
                let namespace = if n % 2 == 0 { "a" } else { "b" };
                let key = format!("pods/{namespace}/{writer}-{n}");
                let revision = commit(&store, put(&key, "x")).await;
                // What is committed can be read, and the list is at least as new.
                assert_eq!(value(&store, &key).as_deref(), Some("x"));
                assert!(store.list(&Range::of("pods")).revision >= revision);
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.revision(), Revision(400));
    // A watch opened late sees the same events again.
    let mut late = store.watch(None, None, Revision(0)).unwrap();
    store.shutdown().await;
    let mut all = Vec::new();
    while let Ok(event) = late.next().await {
        all.push((event.revision, event.key));
    }
    assert_eq!(late.next().await, Err(WatchError::Closed));
    assert_eq!(late.progress(), Revision(400));
    assert_eq!(all.iter().map(|(r, _)| r.0).collect::<Vec<_>>(), (1..=400).collect::<Vec<_>>());
    for (watch, namespace) in watches.into_iter().zip([None, Some("a"), Some("b")]) {
        let expected: Vec<_> =
            all.iter().filter(|(_, key)| namespace.is_none_or(|n| n == key.namespace)).cloned().collect();
        assert_eq!(watch.await.unwrap(), expected, "{namespace:?}");
    }
}

#[tokio::test]
async fn watch_from_a_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Config { history: 4, ..Config::single(dir.path()) }).await.unwrap();
    let mut slow = store.watch(None, None, Revision(0)).unwrap();
    let mut future = store.watch(None, None, Revision(6)).unwrap();
    let mut other = store.watch(Some("nodes"), None, Revision(0)).unwrap();
    for n in 1..=3 {
        commit(&store, put("pods/a/x", &n.to_string())).await;
    }
    commit(&store, delete("pods/a/x")).await;
    assert_eq!(other.try_next(), Ok(None));
    assert_eq!(other.progress(), Revision(4));
    for expected in ["1 created pods/a/x", "2 changed pods/a/x"] {
        assert_eq!(text(&slow.next().await.unwrap()), expected);
    }
    assert_eq!(slow.progress(), Revision(1));
    for _ in 5..=7 {
        commit(&store, put("pods/a/y", "")).await;
    }
    assert_eq!(text(&future.next().await.unwrap()), "7 changed pods/a/y");
    let gone = Gone { from: Revision(2), oldest: Revision(3), newest: Revision(7) };
    assert_eq!(slow.try_next(), Err(WatchError::Gone(Gone { from: Revision(1), ..gone })));
    assert_eq!(store.watch(None, None, Revision(2)).unwrap_err(), gone);
    let mut good = store.watch(None, None, Revision(3)).unwrap();
    for expected in ["4 deleted pods/a/x", "5 created pods/a/y", "6 changed pods/a/y", "7 changed pods/a/y"] {
        assert_eq!(text(&good.next().await.unwrap()), expected);
    }
    store.shutdown().await;
}

/// 51 revisions, with snapshots at 25 or later and at 50, in a folder that is closed.
async fn filled(dir: &Path) {
    let store = Store::open(small(dir)).await.unwrap();
    for n in 0..50 {
        commit(&store, put(&format!("pods/a/{n}"), "x")).await;
        if n == 24 || n == 49 {
            store.make_snapshot().await.unwrap();
        }
    }
    commit(&store, put("pods/a/last", "x")).await;
    store.shutdown().await;
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir.join("snapshots"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "snap"))
        .collect();
    found.sort();
    found
}

fn overwrite(path: &Path) {
    let len = std::fs::metadata(path).unwrap().len();
    std::fs::write(path, vec![0x5a; usize::try_from(len).unwrap()]).unwrap();
}

#[tokio::test]
async fn broken_databases_are_replaced_by_a_snapshot() {
    type Damage<'a> = &'a dyn Fn(&Path);
    let check = async |name: &str, damage: Damage<'_>, older: bool| {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).await;
        let newest = snapshots(dir.path()).pop().unwrap();
        damage(dir.path());
        let store = Store::open(small(dir.path())).await.unwrap();
        let recovery = store.recovery().unwrap_or_else(|| panic!("{name}: nothing noticed")).clone();
        let restored = recovery.restored.clone().unwrap_or_else(|| panic!("{name}: {recovery:?}"));
        assert_eq!(restored.snapshot != newest, older, "{name}: {recovery:?}");
        assert_eq!(recovery.rejected.len(), usize::from(older), "{name}: {recovery:?}");
        assert_eq!(store.revision(), restored.revision, "{name}");
        assert!(restored.revision >= Revision(if older { 25 } else { 50 }), "{name}: {restored:?}");
        assert_eq!(store.list(&Range::of("pods")).items.len() as u64, restored.revision.0, "{name}");
        // It goes on from there, also over the next start.
        let next = commit(&store, put("pods/a/after", "y")).await;
        assert_eq!(next.0, restored.revision.0 + 1, "{name}");
        for n in 0..30 {
            commit(&store, put(&format!("pods/b/{n}"), "x")).await;
        }
        store.shutdown().await;
        let store = Store::open(small(dir.path())).await.unwrap();
        assert_eq!(store.recovery(), None, "{name}");
        assert_eq!(value(&store, "pods/a/after").as_deref(), Some("y"), "{name}");
        assert_eq!(store.revision().0, next.0 + 30, "{name}");
        store.shutdown().await;
    };
    let sled = |dir: &Path| dir.join("sled");
    check("garbage", &|dir| overwrite(&sled(dir).join("db")), false).await;
    check(
        "truncated",
        &|dir| File::options().write(true).open(sled(dir).join("db")).unwrap().set_len(9).unwrap(),
        false,
    )
    .await;
    check("missing", &|dir| std::fs::remove_dir_all(sled(dir)).unwrap(), false).await;
    check("panicked", &|dir| std::fs::write(dir.join("sled.panicked"), "assertion failed").unwrap(), false)
        .await;
    let both = |dir: &Path| {
        overwrite(&sled(dir).join("db"));
        overwrite(&snapshots(dir).pop().unwrap());
    };
    check("garbage and a damaged snapshot", &both, true).await;
}

#[tokio::test]
async fn what_is_lost_is_not_hidden() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    overwrite(&dir.path().join("sled/db"));
    for path in snapshots(dir.path()) {
        overwrite(&path);
    }
    let error = Store::open(small(dir.path())).await.unwrap_err();
    assert!(matches!(error, OpenError::Lost { .. }), "{error}");
    // And not by trying again either.
    let error = Store::open(small(dir.path())).await.unwrap_err();
    assert!(matches!(error, OpenError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn a_first_start_that_broke_off_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sled")).unwrap();
    std::fs::write(dir.path().join("sled.panicked"), "assertion failed").unwrap();
    let store = Store::open(small(dir.path())).await.unwrap();
    assert!(store.recovery().is_some_and(|r| r.restored.is_none()));
    commit(&store, put("pods/a/x", "1")).await;
    store.shutdown().await;
}

#[tokio::test]
async fn what_sled_leaves_behind_does_not_stop_it() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    std::fs::write(dir.path().join("sled/snap.0000000000000FFF.generating"), "half").unwrap();
    let store = Store::open(small(dir.path())).await.unwrap();
    assert_eq!(store.recovery(), None);
    assert_eq!(value(&store, "pods/a/last").as_deref(), Some("x"));
    store.shutdown().await;
}

#[tokio::test]
async fn a_damaged_snapshot_beside_a_good_database_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    overwrite(&snapshots(dir.path()).pop().unwrap());
    let store = Store::open(small(dir.path())).await.unwrap();
    assert!(store.recovery().is_some_and(|r| r.restored.is_none() && r.rejected.len() == 1));
    assert_eq!(value(&store, "pods/a/last").as_deref(), Some("x"));
    store.shutdown().await;
    let store = Store::open(small(dir.path())).await.unwrap();
    assert_eq!(store.recovery(), None);
    store.shutdown().await;
}

/// Whatever happens to a block of sled's file: what a snapshot holds is there, or the loss is reported.
#[tokio::test]
async fn damage_anywhere_is_noticed_or_harmless() {
    let original = tempfile::tempdir().unwrap();
    filled(original.path()).await;
    let len = std::fs::metadata(original.path().join("sled/db")).unwrap().len();
    let mut noticed = 0;
    for round in 0..24_u64 {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["", "sled", "sled/blobs", "snapshots"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            for entry in std::fs::read_dir(original.path().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    std::fs::copy(&path, dir.path().join(folder).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        let file = File::options().write(true).open(dir.path().join("sled/db")).unwrap();
        let at = len.min(64 * 1024) * round / 24;
        std::os::unix::fs::FileExt::write_all_at(&file, &[0x5a; 512], at).unwrap();
        drop(file);
        let store = Store::open(small(dir.path())).await.unwrap();
        assert!(store.revision() >= Revision(50), "damage at {at}: {:?}", store.recovery());
        assert!(store.list(&Range::of("pods")).items.len() >= 50, "damage at {at}: {:?}", store.recovery());
        noticed += usize::from(store.recovery().is_some());
        commit(&store, put("pods/a/after", "y")).await;
        store.shutdown().await;
    }
    assert!(noticed > 0, "nothing was damaged");
}
