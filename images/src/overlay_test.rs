//! Layers stacked by the kernel. As root.

use super::*;
use crate::layer::decompress::Budget;
use crate::layer::unpack::unpack;
use crate::{ImageConfig, Limits};
use gannet_protocols_model::Digest;

/// Unmounts, whatever the test said.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0);
    }
}

/// A layer of these files; `NAME/` is a folder.
fn layer(dir: &Path, number: usize, files: &[(&str, &str)]) -> PathBuf {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(body.len() as u64);
        header.set_entry_type(if path.ends_with('/') {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        tar.append_data(&mut header, path, body.as_bytes()).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let blob = dir.join(format!("blob{number}"));
    std::fs::write(&blob, &bytes).unwrap();
    let target = dir.join(format!("layer{number}"));
    unpack(&blob, &target, &Digest::of(&bytes), &Budget::new(1 << 30, 1 << 20), Limits::default()).unwrap();
    target
}

fn image(layer_dirs: Vec<PathBuf>) -> Image {
    let digest = Digest::of(b"");
    Image { digest, manifest: digest, config: ImageConfig::default(), layers: vec![], layer_dirs, size: 0 }
}

fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(format!("{name}={}", std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn whiteouts_and_opaque_folders_over_three_layers() {
    let dir = tempfile::tempdir().unwrap();
    let lowest = [
        ("etc/", ""),
        ("etc/a", "1"),
        ("etc/b", "1"),
        ("opt/", ""),
        ("opt/x/", ""),
        ("opt/x/y", "1"),
        ("var/", ""),
        ("var/z", "1"),
        ("was/", ""),
        ("was/old", "1"),
    ];
    let middle = [
        ("etc/.wh.a", ""),
        ("etc/c", "2"),
        ("opt/.wh..wh..opq", ""),
        ("opt/new", "2"),
        (".wh.was", ""),
        ("was/", ""),
        ("was/new", "2"),
    ];
    let top = [("etc/a", "3"), (".wh.var", ""), ("opt/", ""), ("opt/top", "3")];
    let layers =
        vec![layer(dir.path(), 1, &lowest), layer(dir.path(), 2, &middle), layer(dir.path(), 3, &top)];
    let (upper, work, target) =
        (dir.path().join("up,per:1"), dir.path().join("work"), dir.path().join("root fs"));
    let _mounted = Mounted(target.clone());
    let image = image(layers);
    mount_rootfs(&image, &upper, &work, &target).unwrap();
    let expect = ["etc/a=3", "etc/b=1", "etc/c=2", "opt/new=2", "opt/top=3", "was/new=2"];
    assert_eq!(tree(&target), expect);
    assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o755);

    // Again: what was written is still there, and nothing is mounted on top.
    std::fs::write(target.join("written"), "w").unwrap();
    mount_rootfs(&image, &upper, &work, &target).unwrap();
    assert!(target.join("written").exists());
    unmount(&target).unwrap();
    assert!(tree(&target).is_empty());
    unmount(&target).unwrap();
    unmount(&dir.path().join("never")).unwrap();
    assert!(upper.join("written").exists());

    // Another container in the same place.
    mount_rootfs(&image, &upper, &work, &target).unwrap();
    mount_rootfs(&image, &dir.path().join("upper2"), &dir.path().join("work2"), &target).unwrap();
    assert_eq!(tree(&target), expect);
    unmount(&target).unwrap();
    assert!(tree(&target).is_empty());
}

#[test]
fn many_layers_none_and_twice_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("l".repeat(100));
    std::fs::create_dir(&long).unwrap();
    let layers: Vec<PathBuf> =
        (0..crate::MAX_LAYERS).map(|n| layer(&long, n, &[(format!("f{n}").as_str(), "x")])).collect();
    let (upper, work, target) = (dir.path().join("upper"), dir.path().join("work"), dir.path().join("root"));
    let _mounted = Mounted(target.clone());
    mount_rootfs(&image(layers.clone()), &upper, &work, &target).unwrap();
    assert_eq!(tree(&target).len(), crate::MAX_LAYERS);
    unmount(&target).unwrap();
    let twice = vec![layers[0].clone(), layers[1].clone(), layers[0].clone()];
    mount_rootfs(&image(twice), &dir.path().join("upper2"), &dir.path().join("work2"), &target).unwrap();
    assert_eq!(tree(&target), ["f0=x", "f1=x"]);
    unmount(&target).unwrap();
    mount_rootfs(&image(vec![]), &dir.path().join("upper3"), &dir.path().join("work3"), &target).unwrap();
    assert!(tree(&target).is_empty());
}
