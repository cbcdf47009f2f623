//! Volumes made for real. As root: tmpfs is mounted.

use std::os::unix::fs::MetadataExt as _;

use gannet_protocols_model::{
    DownwardFile, DownwardVolume, HostPathKind, KeyToPath, ProjectedSource, ProjectedVolume,
};

use super::*;
use crate::cleanup;

struct Pod {
    dir: tempfile::TempDir,
    blobs: BTreeMap<Digest, Vec<u8>>,
    fields: BTreeMap<String, String>,
    manifest: Manifest,
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = cleanup(self.dir.path());
    }
}

impl Pod {
    fn new() -> Self {
        let text =
            r#"{"version":1,"restart_policy":"Always","termination_grace_seconds":30,"containers":[]}"#;
        let manifest = serde_json::from_str(text).unwrap();
        Self { dir: tempfile::tempdir().unwrap(), blobs: BTreeMap::new(), fields: BTreeMap::new(), manifest }
    }

    fn blob(&mut self, data: &[(&str, &str)]) -> ConfigVolume {
        let blob = ConfigBlob::new(data.iter().map(|(k, v)| (k.to_string(), v.as_bytes().to_vec())));
        self.blobs.insert(blob.digest(), blob.to_bytes());
        ConfigVolume { blob: Some(blob.digest()), missing: None, default_mode: 0o644, items: vec![] }
    }

    fn only(&mut self, source: VolumeSource) -> Result<PathBuf, VolumeError> {
        self.manifest.volumes = vec![Volume { name: "v".into(), source }];
        self.prepare().map(|places| places["v"].clone())
    }

    fn prepare(&self) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
        let downward = |value: &DownwardValue| match value {
            DownwardValue::Field(path) => {
                self.fields.get(path).cloned().ok_or_else(|| format!("unsupported fieldPath: {path}"))
            }
            DownwardValue::Resource(_) => Ok("7".to_owned()),
        };
        let sources = Sources {
            blobs: &|digest| self.blobs.get(digest).cloned(),
            downward: &downward,
            memory: Some(ByteSize(4 << 20)),
        };
        prepare(self.dir.path(), &self.manifest, &sources)
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
    // What a container makes of its folder stays.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(pod.only(disk.clone()).unwrap(), place);
    assert_eq!(mode(&place), 0o700);
    assert!(place.join("kept").exists());
    cleanup(pod.dir.path()).unwrap();
    pod.manifest.fs_group = Some(2000);
    // A crash between the folder and its mode.
    fs::create_dir_all(pod.dir.path().join("volumes/.v.new")).unwrap();
    assert_eq!(pod.only(disk).unwrap(), place);
    assert_eq!((mode(&place), fs::metadata(&place).unwrap().gid()), (0o2777, 2000));
    cleanup(pod.dir.path()).unwrap();
    assert!(!place.exists());

    let memory = VolumeSource::EmptyDir { memory: true, size_limit: Some(ByteSize(1 << 20)) };
    let place = pod.only(memory.clone()).unwrap();
    fs::write(place.join("kept"), "x").unwrap();
    pod.only(memory).unwrap();
    assert!(place.join("kept").exists(), "a second tmpfs hides the first");
    assert_ne!(fs::metadata(&place).unwrap().dev(), fs::metadata(pod.dir.path()).unwrap().dev());
    assert_eq!((mode(&place), fs::metadata(&place).unwrap().gid()), (0o2777, 2000));
    let full = fs::write(place.join("large"), vec![0; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    cleanup(pod.dir.path()).unwrap();
    // Without a limit, or with a larger one, the pod's memory is the limit.
    for size_limit in [None, Some(ByteSize(0)), Some(ByteSize(1 << 40))] {
        let place = pod.only(VolumeSource::EmptyDir { memory: true, size_limit }).unwrap();
        fs::write(place.join("fits"), vec![0; 3 << 20]).unwrap();
        assert!(fs::write(place.join("large"), vec![0; 2 << 20]).is_err(), "{size_limit:?}");
        cleanup(pod.dir.path()).unwrap();
    }
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
    fs::remove_dir(&dir).unwrap();
    check(&mut pod, host(HostPathKind::Any), "fine");
    assert!(dir.is_dir(), "made, as container engines do");
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
        let refused = pod.prepare();
        assert!(matches!(refused, Err(VolumeError::Name { .. })), "{name}");
    }
}

#[test]
fn fields_and_projections_follow_the_pod() {
    let mut pod = Pod::new();
    pod.fields.insert("metadata.labels".into(), "app=\"web\"".into());
    let file = |path: &str, mode| DownwardFile {
        path: path.into(),
        value: DownwardValue::Field("metadata.labels".into()),
        mode,
    };
    let volume = DownwardVolume {
        default_mode: 0o644,
        items: vec![file("labels", None), file("in/labels", Some(0o400))],
    };
    let source = VolumeSource::DownwardApi(volume);
    let place = pod.only(source.clone()).unwrap();
    assert_eq!(fs::read_to_string(place.join("labels")).unwrap(), "app=\"web\"");
    assert_eq!(mode(&place.join("in/labels")), 0o400);
    assert!(is_read_only(&source));
    let before = fs::read_link(place.join("..data")).unwrap();
    assert!(before.to_str().unwrap().starts_with("..20"), "{before:?}");
    pod.fields.insert("metadata.labels".into(), "app=\"new\"".into());
    pod.only(source.clone()).unwrap();
    assert_eq!(fs::read_to_string(place.join("in/labels")).unwrap(), "app=\"new\"");
    pod.fields.clear();
    let error = pod.only(source).unwrap_err().message();
    assert_eq!(error, "MountVolume.SetUp failed for volume \"v\" : unsupported fieldPath: metadata.labels");
    assert_eq!(fs::read_to_string(place.join("labels")).unwrap(), "app=\"new\"", "what was there stays");
    cleanup(pod.dir.path()).unwrap();

    pod.fields.insert("metadata.labels".into(), "x".into());
    let mut missing = pod.blob(&[("a", "1")]);
    let projected = |config: &ConfigVolume| {
        let sources = vec![
            ProjectedSource::Secret(config.clone()),
            ProjectedSource::DownwardApi(vec![file("labels", None)]),
        ];
        VolumeSource::Projected(ProjectedVolume { default_mode: 0o440, sources })
    };
    let place = pod.only(projected(&missing)).unwrap();
    assert_eq!((names(&place), mode(&place.join("a"))), (vec!["a".to_owned(), "labels".to_owned()], 0o440));
    let kind = nix::sys::statfs::statfs(&place).unwrap().filesystem_type();
    assert_eq!(kind, nix::sys::statfs::TMPFS_MAGIC);
    missing.missing = Some("secret \"s\" not found".into());
    pod.only(projected(&missing)).unwrap();
    assert_eq!(names(&place), ["a", "labels"], "a pod that runs keeps what it has");
    // More than the tmpfs was made for.
    let large = pod.blob(&[("large", &"x".repeat(6 << 20))]);
    pod.only(projected(&large)).unwrap();
    pod.only(projected(&large)).unwrap();
    assert_eq!(names(&place), ["labels", "large"]);
}

#[test]
fn one_bad_volume_does_not_hold_up_the_others() {
    let mut pod = Pod::new();
    let config = pod.blob(&[("a", "1")]);
    let bad = VolumeSource::HostPath { path: "/nowhere/at/all".into(), kind: HostPathKind::Directory };
    let volume = |name: &str, source| Volume { name: name.into(), source };
    pod.manifest.volumes = vec![volume("bad", bad), volume("good", VolumeSource::ConfigMap(config))];
    assert!(pod.prepare().unwrap_err().message().contains("volume \"bad\""));
    assert!(pod.dir.path().join("volumes/good/a").exists());
}

#[test]
fn a_full_disk_is_told_and_nothing_half_made_stays() {
    let mut pod = Pod::new();
    let disk = Tmpfs { size: Some(64 << 10), flags: MsFlags::empty(), mode: 0o755, group: None };
    let folder = pod.dir.path().join("volumes");
    disk.ensure(&folder).unwrap();
    let small = pod.blob(&[("a", "1")]);
    let place = pod.only(VolumeSource::ConfigMap(small.clone())).unwrap();
    let large = pod.blob(&[("a", &"x".repeat(40_000)), ("b", &"x".repeat(40_000))]);
    let error = pod.only(VolumeSource::ConfigMap(large)).unwrap_err().message();
    assert!(error.contains("No space left on device"), "{error}");
    assert_eq!(fs::read_to_string(place.join("a")).unwrap(), "1", "the old content stays whole");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 3, "..data, its folder and the key");
    pod.only(VolumeSource::ConfigMap(small)).unwrap();
}
