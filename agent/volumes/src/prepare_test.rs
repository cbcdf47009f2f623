//! Volumes made for real. As root: tmpfs is mounted.

use std::os::unix::fs::{MetadataExt as _, symlink};

use gannet_protocols_model::{ByteSize, HostPathKind, KeyToPath, RestartPolicy};

use super::*;
use crate::{cleanup, resolve_sub_path};

struct Pod {
    dir: tempfile::TempDir,
    blobs: BTreeMap<Digest, Vec<u8>>,
    manifest: Manifest,
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = cleanup(self.dir.path());
    }
}

impl Pod {
    fn new() -> Self {
        let manifest = Manifest {
            version: 1,
            hostname: None,
            host_network: false,
            restart_policy: RestartPolicy::Always,
            termination_grace_seconds: 30,
            dns_policy: Default::default(),
            init_containers: vec![],
            containers: vec![],
            volumes: vec![],
            fs_group: None,
        };
        Self { dir: tempfile::tempdir().unwrap(), blobs: BTreeMap::new(), manifest }
    }

    fn blob(&mut self, data: &[(&str, &str)]) -> ConfigVolume {
        let blob = ConfigBlob::new(data.iter().map(|(k, v)| (k.to_string(), v.as_bytes().to_vec())));
        self.blobs.insert(blob.digest(), blob.to_bytes());
        ConfigVolume { blob: Some(blob.digest()), missing: None, default_mode: 0o644, items: vec![] }
    }

    fn only(&mut self, source: VolumeSource) -> Result<PathBuf, VolumeError> {
        self.manifest.volumes = vec![Volume { name: "v".into(), source }];
        let places = prepare(self.dir.path(), &self.manifest, &|digest| self.blobs.get(digest).cloned())?;
        Ok(places["v"].clone())
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(place: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with(".."));
    names.sort();
    names
}

#[test]
fn empty_folders() {
    let mut pod = Pod::new();
    let disk = VolumeSource::EmptyDir { memory: false, size_limit: None };
    let place = pod.only(disk.clone()).unwrap();
    assert_eq!(mode(&place), 0o777);
    fs::write(place.join("kept"), "x").unwrap();
    pod.manifest.fs_group = Some(2000);
    assert_eq!(pod.only(disk).unwrap(), place);
    assert_eq!((mode(&place), fs::metadata(&place).unwrap().gid()), (0o2777, 2000));
    assert!(place.join("kept").exists());
    cleanup(pod.dir.path()).unwrap();
    assert!(!place.exists());

    let memory = VolumeSource::EmptyDir { memory: true, size_limit: Some(ByteSize(1 << 20)) };
    let place = pod.only(memory.clone()).unwrap();
    fs::write(place.join("kept"), "x").unwrap();
    pod.only(memory).unwrap();
    assert!(place.join("kept").exists(), "a second tmpfs hides the first");
    assert_ne!(fs::metadata(&place).unwrap().dev(), fs::metadata(pod.dir.path()).unwrap().dev());
    let full = fs::write(place.join("large"), vec![0; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    cleanup(pod.dir.path()).unwrap();
    cleanup(pod.dir.path()).unwrap();
    assert!(!place.exists());
}

#[test]
fn config_changes_all_at_once() {
    let mut pod = Pod::new();
    let one = pod.blob(&[("a", "1"), ("b", "1")]);
    let place = pod.only(VolumeSource::ConfigMap(one.clone())).unwrap();
    assert_eq!(names(&place), ["a", "b"]);
    assert_eq!(fs::read_link(place.join("a")).unwrap(), Path::new("..data/a"));
    assert_eq!(mode(&place.join("a")), 0o644);
    let before = fs::symlink_metadata(place.join("..data")).unwrap().ino();
    pod.only(VolumeSource::ConfigMap(one.clone())).unwrap();
    assert_eq!(
        fs::symlink_metadata(place.join("..data")).unwrap().ino(),
        before,
        "what is right is not written again"
    );

    // A reader that holds the old folder sees the old files, all of them.
    let old = fs::read_link(place.join("..data")).unwrap();
    let mut two = pod.blob(&[("a", "2"), ("c", "2")]);
    pod.only(VolumeSource::ConfigMap(two.clone())).unwrap();
    assert_eq!(names(&place), ["a", "c"]);
    assert_eq!(fs::read_to_string(place.join("a")).unwrap(), "2");
    assert!(!place.join(old).exists());
    two.items = vec![KeyToPath { key: "a".into(), path: "deep/er/x".into(), mode: Some(0o400) }];
    pod.only(VolumeSource::ConfigMap(two.clone())).unwrap();
    assert_eq!(names(&place), ["deep"]);
    assert_eq!(fs::read_to_string(place.join("deep/er/x")).unwrap(), "2");
    assert_eq!(mode(&place.join("deep/er/x")), 0o400);
    pod.manifest.fs_group = Some(2000);
    pod.only(VolumeSource::ConfigMap(two.clone())).unwrap();
    let file = fs::metadata(place.join("deep/er/x")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.gid()), (0o440, 2000));

    // Files that were not on disk when the power went.
    fs::write(place.join("..data/deep/er/x"), "").unwrap();
    pod.only(VolumeSource::ConfigMap(two.clone())).unwrap();
    assert_eq!(fs::read_to_string(place.join("deep/er/x")).unwrap(), "2");

    // An optional object that is gone.
    two.blob = None;
    pod.only(VolumeSource::ConfigMap(two)).unwrap();
    assert!(names(&place).is_empty());
}

#[test]
fn secrets_are_in_memory_alone() {
    let mut pod = Pod::new();
    let mut secret = pod.blob(&[("key", "s3cret")]);
    secret.default_mode = 0o400;
    let place = pod.only(VolumeSource::Secret(secret)).unwrap();
    assert_eq!(fs::read_to_string(place.join("key")).unwrap(), "s3cret");
    assert_eq!(mode(&place.join("key")), 0o400);
    let kind = nix::sys::statfs::statfs(&place).unwrap().filesystem_type();
    assert_eq!(kind, nix::sys::statfs::TMPFS_MAGIC);
    cleanup(pod.dir.path()).unwrap();
    assert!(!place.exists());
}

#[test]
fn errors_are_worded_as_by_kubelet() {
    let mut pod = Pod::new();
    let check = |pod: &mut Pod, source: VolumeSource, expect: &str| {
        let got = pod.only(source).map_or_else(|e| e.message(), |_| "fine".into());
        assert!(got.contains(expect), "{got} does not say {expect}");
    };
    let mut missing = pod.blob(&[("a", "1")]);
    missing.missing = Some("configmap \"x\" not found".into());
    check(
        &mut pod,
        VolumeSource::ConfigMap(missing.clone()),
        "MountVolume.SetUp failed for volume \"v\" : configmap \"x\" not found",
    );
    let good = pod.blob(&[("a", "1")]);
    check(&mut pod, VolumeSource::ConfigMap(good.clone()), "fine");
    check(&mut pod, VolumeSource::ConfigMap(missing), "fine");
    pod.blobs.clear();
    check(&mut pod, VolumeSource::ConfigMap(good), "is not on this node");
    let dir = pod.dir.path().join("host");
    let path = dir.to_str().unwrap().to_owned();
    let host = |kind| VolumeSource::HostPath { path: path.clone(), kind };
    check(
        &mut pod,
        host(HostPathKind::Directory),
        &format!("hostPath type check failed: {path} is not a directory"),
    );
    check(&mut pod, host(HostPathKind::DirectoryOrCreate), "fine");
    check(&mut pod, host(HostPathKind::Directory), "fine");
    check(&mut pod, host(HostPathKind::Any), "fine");
    check(&mut pod, host(HostPathKind::FileOrCreate), "is not a file");
    check(&mut pod, host(HostPathKind::Socket), "is not a socket file");
    check(&mut pod, host(HostPathKind::BlockDevice), "is not a block device");
    let null = VolumeSource::HostPath { path: "/dev/null".into(), kind: HostPathKind::CharDevice };
    check(&mut pod, null, "fine");
    let up = VolumeSource::HostPath { path: "/tmp/../etc".into(), kind: HostPathKind::Any };
    check(&mut pod, up, "must be absolute");
    fs::remove_dir(&dir).unwrap();
    check(&mut pod, host(HostPathKind::FileOrCreate), "fine");
    let source = VolumeSource::EmptyDir { memory: false, size_limit: None };
    for name in ["", "..", "a/b", "A", "-a"] {
        pod.manifest.volumes = vec![Volume { name: name.into(), source: source.clone() }];
        let refused = prepare(pod.dir.path(), &pod.manifest, &|_| None);
        assert!(matches!(refused, Err(VolumeError::Name { .. })), "{name}");
    }
}

#[test]
fn sub_paths_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let volume = fs::canonicalize(dir.path()).unwrap().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::create_dir(volume.join("real")).unwrap();
    fs::write(volume.join("file"), "x").unwrap();
    symlink("real", volume.join("inside")).unwrap();
    symlink("..", volume.join("up")).unwrap();
    symlink(dir.path().join("outside"), volume.join("abs")).unwrap();
    symlink("nowhere", volume.join("dangling")).unwrap();
    symlink("loop", volume.join("loop")).unwrap();
    let check = |sub: &str, expect: Result<&str, &str>| match (resolve_sub_path(&volume, sub), expect) {
        (Ok(path), Ok(expect)) => assert_eq!(path, volume.join(expect), "{sub}"),
        (Err(error), Err(expect)) => assert!(error.message().contains(expect), "{sub}: {}", error.message()),
        (got, expect) => panic!("{sub}: {got:?} is not {expect:?}"),
    };
    check("real", Ok("real"));
    check("./real//", Ok("real"));
    check("file", Ok("file"));
    check("inside/new/er", Ok("real/new/er"));
    check("new", Ok("new"));
    check("../outside", Err("'..'"));
    check("real/../../outside", Err("'..'"));
    check("/etc", Err("relative"));
    check("up/outside", Err("leads out"));
    check("abs", Err("leads out"));
    check("abs/x", Err("leads out"));
    check("loop", Err("leads out"));
    check("dangling/x", Err("link to nothing"));
    check("file/x", Err("through a file"));
    assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 0);
    assert!(!volume.join("nowhere").exists());
}
