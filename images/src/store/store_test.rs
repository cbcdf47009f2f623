use std::collections::BTreeSet;

use super::*;
use crate::{PackConfig, PackFile, Packed, Platform, pack};

/// Puts a packed image into the store as a pull does.
fn put(store: &ImageStore, packed: &Packed, name: &str) -> Digest {
    let digest = packed.digest();
    let Ok(Document::Manifest(manifest)) = Document::parse(&packed.manifest) else { panic!("no manifest") };
    let config = ConfigDocument::parse(&packed.config, 1).unwrap();
    store.write_blob(&digest, &packed.manifest).unwrap();
    store.write_blob(&manifest.config.digest, &packed.config).unwrap();
    fs::create_dir_all(store.layer_path(&config.diff_ids[0])).unwrap();
    store.record(&name.parse().unwrap(), Record { digest, manifest: digest }).unwrap();
    digest
}

fn packed(body: &str, env: &str) -> Packed {
    let file = PackFile { path: "a".into(), bytes: body.into(), mode: 0o644 };
    let config = PackConfig { env: vec![env.into()], ..PackConfig::default() };
    pack(vec![file], &config, &Platform::linux("amd64", None)).unwrap()
}

fn count(store: &ImageStore, folder: &str) -> usize {
    fs::read_dir(store.folder(folder)).unwrap().count()
}

#[test]
fn names_lead_to_images_and_survive() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    assert!(matches!(ImageStore::open(dir.path()), Err(StoreError::InUse { .. })));
    let digest = put(&store, &packed("x", "A=b"), "app:v1");
    put(&store, &packed("x", "A=c"), "other");
    fs::create_dir(store.temporary()).unwrap();
    drop(store);
    let store = ImageStore::open(dir.path()).unwrap();
    assert_eq!(count(&store, "tmp"), 0);
    let get = |name: &str| store.get(&name.parse().unwrap()).map(|image| image.config.env);
    assert_eq!(get("app:v1"), Some(vec!["A=b".into()]));
    assert_eq!(get(&format!("app@{digest}")), Some(vec!["A=b".into()]));
    assert_eq!(get("other:latest"), Some(vec!["A=c".into()]));
    assert_eq!(get("other"), Some(vec!["A=c".into()]));
    assert_eq!(get("app"), None);
    assert_eq!(store.list().len(), 2);
    // A damaged manifest is not an image any more.
    fs::write(store.blob_path(&digest), "garbage").unwrap();
    assert_eq!(get("app:v1"), None);
    drop(store);
    fs::write(dir.path().join("images.json"), "garbage").unwrap();
    assert!(ImageStore::open(dir.path()).unwrap().list().is_empty());
}

#[test]
fn unused_images_go_and_shared_layers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let used = put(&store, &packed("x", "A=b"), "used");
    put(&store, &packed("x", "A=c"), "same-layer");
    let pulled = put(&store, &packed("y", "A=b"), "being-pulled");
    let pin = store.inflight().pin([pulled]);
    let in_use = BTreeSet::from([used]);
    let removed = store.remove_unused(&in_use).unwrap();
    // The configurations of both go, but the pinned manifest stays.
    assert_eq!((removed.images, removed.blobs, removed.layers), (2, 3, 1));
    assert_eq!((count(&store, "layers"), count(&store, "blobs/sha256"), count(&store, "tmp")), (1, 3, 0));
    drop(pin);
    assert_eq!(store.remove_unused(&in_use).unwrap().blobs, 1);
    assert_eq!(store.remove_unused(&in_use).unwrap(), crate::Removed::default());
    assert!(store.get(&"used".parse().unwrap()).is_some());
    store.remove_unused(&BTreeSet::new()).unwrap();
    assert_eq!((count(&store, "layers"), count(&store, "blobs/sha256")), (0, 0));
}

#[test]
fn a_tag_that_moved_leaves_what_still_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let old = put(&store, &packed("old", "A=old"), "app:v1");
    let new = put(&store, &packed("new", "A=new"), "app:v1");
    store.remove_unused(&BTreeSet::from([old, new])).unwrap();
    let get = |name: &str| store.get(&name.parse().unwrap()).map(|image| image.digest);
    assert_eq!((get("app:v1"), get(&format!("app:v1@{old}"))), (Some(new), Some(old)));
    assert_eq!(store.remove_unused(&BTreeSet::from([new])).unwrap().layers, 1);
    assert_eq!((get("app:v1"), get(&format!("app:v1@{old}"))), (Some(new), None));

    // Which layers a damaged image has is not known: none go, as one may be mounted.
    let damaged = put(&store, &packed("other", "A=b"), "other");
    fs::write(store.blob_path(&damaged), "garbage").unwrap();
    assert_eq!(store.remove_unused(&BTreeSet::from([damaged])).unwrap().layers, 0);
    assert_eq!(count(&store, "layers"), 2);
}
