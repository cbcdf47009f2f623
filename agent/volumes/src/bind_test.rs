//! Binds made for real, each test in a mount namespace of its own. As root.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{RenameFlags, renameat2};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::cleanup;

struct Pod {
    dir: tempfile::TempDir,
    volume: PathBuf,
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = cleanup(self.dir.path());
    }
}

impl Pod {
    /// With mounts that no other test sees.
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let flags = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let volume = fs::canonicalize(dir.path()).unwrap().join("volumes/v");
        fs::create_dir_all(&volume).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        Self { dir, volume }
    }

    fn source(
        &self,
        sub_path: Option<&str>,
        of_node: bool,
        propagation: MountPropagation,
    ) -> Result<PathBuf, String> {
        let request = MountRequest {
            container: "main",
            number: 0,
            volume: &self.volume,
            of_node,
            sub_path,
            propagation,
        };
        mount_source(self.dir.path(), &request).map_err(|e| e.message())
    }

    fn sub(&self, sub_path: &str) -> Result<PathBuf, String> {
        self.source(Some(sub_path), false, MountPropagation::None)
    }
}

fn id(path: &Path) -> (u64, u64) {
    let meta = fs::metadata(path).unwrap();
    (meta.dev(), meta.ino())
}

#[test]
fn sub_paths_stay_inside() {
    let pod = Pod::new();
    let volume = pod.volume.clone();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o2777)).unwrap();
    fs::create_dir(volume.join("real")).unwrap();
    fs::write(volume.join("file"), "x").unwrap();
    symlink("real", volume.join("inside")).unwrap();
    symlink("../..", volume.join("up")).unwrap();
    symlink(pod.dir.path().join("outside"), volume.join("abs")).unwrap();
    symlink("nowhere", volume.join("dangling")).unwrap();
    symlink("loop", volume.join("loop")).unwrap();
    symlink("/proc/self/cwd", volume.join("magic")).unwrap();
    let check = |sub: &str, expect: Result<&str, &str>| match (pod.sub(sub), expect) {
        (Ok(path), Ok(expect)) => {
            assert!(path.starts_with(pod.dir.path().join("mounts")), "{path:?}");
            assert_eq!(id(&path), id(&volume.join(expect)), "{sub}");
        }
        (Err(error), Err(expect)) => assert!(error.contains(expect), "{sub}: {error}"),
        (got, expect) => panic!("{sub}: {got:?} is not {expect:?}"),
    };
    check("real", Ok("real"));
    check("./real//", Ok("real"));
    check("file", Ok("file"));
    check("inside/new/er", Ok("real/new/er"));
    check("new", Ok("new"));
    assert_eq!(fs::metadata(volume.join("new")).unwrap().mode() & 0o7777, 0o2777, "the volume's own mode");
    check("../outside", Err("'..'"));
    check("real/../../outside", Err("'..'"));
    check("/etc", Err("relative"));
    check("up/outside", Err("leads out"));
    check("abs", Err("leads out"));
    check("abs/x", Err("leads out"));
    check("magic/x", Err("leads out"));
    check("loop", Err("leads out"));
    check("dangling/x", Err("link to nothing"));
    check("file/x", Err("through a file"));
    assert_eq!(fs::read_dir(pod.dir.path().join("outside")).unwrap().count(), 0);
    assert!(!volume.join("nowhere").exists());
    // The next run of the container gets what is there then, and the pod's end takes away the binds alone.
    fs::remove_file(volume.join("file")).unwrap();
    check("file", Ok("file"));
    assert_eq!(pod.source(None, false, MountPropagation::None).unwrap(), volume, "the whole needs no bind");
    fs::write(volume.join("real/kept"), "").unwrap();
    check("real", Ok("real"));
    bind_is_cleared(&pod);
    assert!(volume.join("real/kept").exists());
}

fn bind_is_cleared(pod: &Pod) {
    clear_all(pod.dir.path()).unwrap();
    clear_all(pod.dir.path()).unwrap();
    assert!(!pod.dir.path().join("mounts").exists());
}

/// A container swaps a folder for a link to the outside, as fast as it can, while its neighbour starts again and again.
#[test]
fn a_race_of_links_leads_nowhere() {
    let pod = Pod::new();
    let (volume, outside) = (&pod.volume, pod.dir.path().join("outside"));
    fs::create_dir_all(outside.join("deep/deeper")).unwrap();
    fs::create_dir_all(volume.join("a/deep/deeper")).unwrap();
    symlink(&outside, volume.join("b")).unwrap();
    symlink("../..", volume.join("c")).unwrap();
    let outer: Vec<(u64, u64)> =
        [&outside, &outside.join("deep"), &outside.join("deep/deeper"), pod.dir.path()].map(id).into();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for other in ["b", "c"] {
                    let (a, other) = (volume.join("a"), volume.join(other));
                    let cwd = nix::fcntl::AT_FDCWD;
                    let swap = || renameat2(cwd, &a, cwd, &other, RenameFlags::RENAME_EXCHANGE);
                    swap().unwrap();
                    swap().unwrap();
                }
            }
        });
        let mut outcomes = [0, 0];
        for round in 0..400 {
            let sub = ["a", "a/deep", "a/deep/deeper", "a/deep/new"][round % 4];
            match pod.sub(sub) {
                Ok(bound) => {
                    outcomes[0] += 1;
                    assert!(!outer.contains(&id(&bound)), "{sub} led out");
                }
                Err(error) => {
                    outcomes[1] += 1;
                    assert!(error.contains("leads") || error.contains("in volume"), "{error}");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        println!("inside {}, refused {}", outcomes[0], outcomes[1]);
        assert!(outcomes[0] > 0);
    });
    assert_eq!(fs::read_dir(outside.join("deep")).unwrap().count(), 1, "nothing was made outside");
}

/// Any path made of names, links out, links up, dots and slashes.
#[test]
fn whatever_the_path_it_leads_nowhere_else() {
    let pod = Pod::new();
    let (volume, outside) = (&pod.volume, pod.dir.path().join("outside"));
    fs::create_dir_all(outside.join("a")).unwrap();
    fs::create_dir_all(volume.join("a/a")).unwrap();
    for folder in [volume.clone(), volume.join("a")] {
        symlink(&outside, folder.join("out")).unwrap();
        symlink("../../..", folder.join("up")).unwrap();
        symlink("a", folder.join("in")).unwrap();
        symlink("../new", folder.join("side")).unwrap();
        symlink("/", folder.join("root")).unwrap();
    }
    let outer: Vec<(u64, u64)> =
        [&outside, &outside.join("a"), pod.dir.path(), Path::new("/"), volume.parent().unwrap()]
            .map(id)
            .into();
    let part =
        proptest::sample::select(vec!["a", "new", "out", "up", "in", "side", "root", ".", "..", "", " "]);
    let paths = proptest::collection::vec(part, 0..7);
    let config =
        proptest::test_runner::Config { cases: 500, failure_persistence: None, ..Default::default() };
    let tried = proptest::test_runner::TestRunner::new(config).run(&paths, |parts| {
        let path = parts.join("/");
        if let Ok(bound) = pod.sub(&path) {
            proptest::prop_assert!(!outer.contains(&id(&bound)), "{path:?} led out");
        }
        Ok(())
    });
    tried.unwrap();
    assert_eq!(fs::read_dir(outside.join("a")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing was made outside");
}

fn tmpfs_at(path: &Path) {
    fs::create_dir_all(path).unwrap();
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

#[test]
fn later_mounts_show_where_they_should() {
    let mut pod = Pod::new();
    let host = fs::canonicalize(pod.dir.path()).unwrap().join("host");
    tmpfs_at(&host);
    pod.volume.clone_from(&host);
    let refused = |propagation, expect: &str| {
        let error = pod.source(None, true, propagation).unwrap_err();
        assert!(error.contains(expect), "{error}");
    };
    refused(MountPropagation::Bidirectional, "but it is not a shared mount");
    refused(MountPropagation::HostToContainer, "but it is not a shared or slave mount");
    mount(None::<&str>, &host, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
    for (propagation, here, there) in [
        (MountPropagation::None, false, false),
        (MountPropagation::HostToContainer, true, false),
        (MountPropagation::Bidirectional, true, true),
    ] {
        let bound = pod.source(None, true, propagation).unwrap();
        tmpfs_at(&host.join("of-node"));
        fs::write(host.join("of-node/x"), "").unwrap();
        assert_eq!(bound.join("of-node/x").exists(), here, "{propagation:?}");
        tmpfs_at(&bound.join("of-container"));
        fs::write(bound.join("of-container/x"), "").unwrap();
        assert_eq!(host.join("of-container/x").exists(), there, "{propagation:?}");
        bind_is_cleared(&pod);
        assert!(host.join("of-node/x").exists());
        for name in ["of-node", "of-container"] {
            while umount2(&host.join(name), MntFlags::MNT_DETACH).is_ok() {}
        }
    }
    // A volume of the pod is made to pass mounts on.
    pod.volume = pod.dir.path().join("volumes/v");
    let bound = pod.source(None, false, MountPropagation::Bidirectional).unwrap();
    tmpfs_at(&bound.join("inner"));
    fs::write(bound.join("inner/x"), "").unwrap();
    assert!(pod.volume.join("inner/x").exists());
    assert_eq!(pod.source(None, false, MountPropagation::Bidirectional), Ok(bound));
    cleanup(pod.dir.path()).unwrap();
    assert!(!pod.volume.exists());
    umount2(&host, MntFlags::MNT_DETACH).unwrap();
}

#[test]
fn names_of_containers_are_no_paths() {
    let pod = Pod::new();
    for container in ["", "..", "../x", "a/b"] {
        let request = MountRequest {
            container,
            number: 0,
            volume: &pod.volume,
            of_node: true,
            sub_path: None,
            propagation: MountPropagation::None,
        };
        assert!(
            matches!(mount_source(pod.dir.path(), &request), Err(VolumeError::Name { .. })),
            "{container}"
        );
    }
}
