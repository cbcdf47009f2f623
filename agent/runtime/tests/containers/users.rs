//! Pods with users of their own: their root is nobody on the node.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use gannet_agent_runtime::{AttachSpec, PodSandbox, Size, Status};
use gannet_protocols_model::PodUid;
use nix::sys::signal::Signal;

use crate::fixture::{Fixture, kill, shim_of};
use crate::interactive;

const BLOCK: u32 = 65_536;

/// Whether the kernel maps the owners of a tmpfs, in which these tests may lie: since Linux 6.3. Says so where it does not;
/// that an agent refuses such pods there is tested where the volumes are.
fn kernel_maps_owners() -> bool {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 3) {
        eprintln!("skipped: Linux {release} does not map the owners of a tmpfs (6.3 does)");
    }
    version >= (6, 3)
}

/// A pod with users, and the first of them.
async fn pod(fixture: &mut Fixture, change: impl FnOnce(&mut PodSandbox)) -> (PodUid, u32) {
    let mut sandbox = PodSandbox { netns: None, ..fixture.sandbox() };
    let users = fixture.runtime().users(&sandbox.uid).unwrap();
    sandbox.users = Some(users);
    change(&mut sandbox);
    let pod = sandbox.uid.clone();
    fixture.runtime().ensure_pod(sandbox).await.unwrap();
    (pod, users.first)
}

/// The root file system as the agent's images make it for such a pod: it belongs to the pod's users.
fn give(path: &Path, first: u32) {
    std::os::unix::fs::lchown(path, Some(first), Some(first)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().flatten().for_each(|entry| give(&entry.path(), first));
    }
}

fn with_users(spec: &mut serde_json::Value) {
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(serde_json::json!({"type": "user"}));
}

fn bind(spec: &mut serde_json::Value, source: &Path, destination: &str, option: &str) {
    spec["mounts"].as_array_mut().unwrap().push(serde_json::json!({
        "destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate", option],
    }));
}

fn status_line(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines().find(|line| line.starts_with(name)).unwrap().to_owned()
}

pub(crate) async fn root_is_nobody_on_the_node() {
    if !kernel_maps_owners() {
        return;
    }
    let mut fixture = Fixture::new().await;
    let (pod, first) = pod(&mut fixture, |_| ()).await;
    assert!(first >= BLOCK && first.is_multiple_of(BLOCK), "{first}");
    give(&fixture.path("rootfs"), first);
    // Folders that the pod's root may not pass through on the node.
    let closed = fixture.path("closed");
    let (volume, secret) = (closed.join("volume"), closed.join("secret"));
    fs::create_dir_all(&volume).unwrap();
    fs::create_dir_all(&secret).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(secret.join("key"), "hidden").unwrap();
    fs::set_permissions(secret.join("key"), fs::Permissions::from_mode(0o400)).unwrap();
    let script = "id -u; cat /secret/key; echo; echo made > /volume/file; cat /proc/self/uid_map; \
                  echo null > /dev/null && echo devices; mknod /tmp/sda b 8 0 || echo no device; \
                  [ -c /dev/mine ] && echo a device of its own; echo out > /dev/stdout; echo done; exec sleep 1000";
    let container = fixture.container_with("a-0", &["sh", "-c", script], |spec| {
        with_users(spec);
        bind(spec, &volume, "/volume", "rw");
        bind(spec, &secret, "/secret", "ro");
        spec["root"]["readonly"] = false.into();
        spec["linux"]["devices"] = serde_json::json!([
            {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 432, "uid": 0, "gid": 0}]);
    });
    let pid = fixture.run(&pod, container).await;
    fixture.wait_for_line("a-0", "done").await;
    let said = fixture.lines("a-0");
    for words in ["0\n", "hidden\n", "devices\n", "no device\n", "a device of its own\n", "out\n"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(
        said.split_whitespace().collect::<Vec<_>>().join(" ").contains(&format!("0 {first} {BLOCK}")),
        "{said}"
    );
    // On the node it is nobody, with no capability over the node; what it made in the volume is root's.
    assert_eq!(status_line(pid, "Uid:"), format!("Uid:\t{first}\t{first}\t{first}\t{first}"));
    assert_eq!(status_line(pid, "Gid:"), format!("Gid:\t{first}\t{first}\t{first}\t{first}"));
    let of = |pid: &str, name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    let pid = pid.to_string();
    for name in ["user", "net", "ipc", "uts", "pid", "mnt", "cgroup"] {
        assert_ne!(of(&pid, name), of("self", name), "{name} is the node's");
    }
    assert_eq!(fs::metadata(volume.join("file")).unwrap().uid(), 0);
    assert!(fs::write(fixture.path("rootfs/tmp/by-node"), "").is_ok());
    // What the node's root owns stays out of reach.
    let script = "id -u; cat /proc/self/uid_map; echo x > /proc/sys/kernel/core_pattern || echo not the node; \
                  cat /secret/key; echo more > /volume/other; echo x > /tmp/by-node && echo writes";
    let said = fixture.exec(&pod, "a-0", &["sh", "-c", script]).await;
    assert!(said.starts_with("0\n") && said.contains("not the node") && said.contains("hidden"), "{said}");
    assert!(said.contains(&first.to_string()) && !said.contains("writes"), "{said}");
    assert_eq!(fs::metadata(volume.join("other")).unwrap().uid(), 0);
    // A terminal of its own.
    let argv = ["sh", "-c", "tty; stat -c '%u' $(tty)"].map(str::to_owned).to_vec();
    let wanted = AttachSpec { argv, terminal: Some(Size { rows: 33, cols: 99 }), ..AttachSpec::default() };
    let mut session = fixture.runtime().attach_exec(&pod, "a-0", wanted).await.unwrap();
    let seen = interactive::until(session.terminal.as_ref().unwrap(), "0\r\n0\r\n").await;
    assert!(seen.contains("/dev/pts/"), "{seen}");
    assert_eq!(session.wait().await.unwrap(), 0);
    // Nothing of the mounts that it was made from is on the node.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.lines().any(|line| line.contains(" /mnt/bind-") || line.contains(" /mnt/root ")),
        "{mounts}"
    );
    // Another agent knows the users; another shim goes on.
    fixture.restart().await;
    assert_eq!(fixture.runtime().users(&pod).unwrap().first, first);
    kill(shim_of(&pod), Signal::SIGKILL);
    fixture.wait_for_status(&pod, "a-0", Status::Running).await;
    let seen = fixture.exec(&pod, "a-0", &["sh", "-c", "id -u > /dev/stdout; id -g > /dev/stderr"]).await;
    assert_eq!(seen, "0\n0\n");
    fixture.finish().await;
}

pub(crate) async fn no_two_pods_are_alike() {
    if !kernel_maps_owners() {
        return;
    }
    let mut fixture = Fixture::new().await;
    let (a, first) = pod(&mut fixture, |sandbox| sandbox.share_pid = true).await;
    let (b, second) = pod(&mut fixture, |_| ()).await;
    assert_ne!(first, second);
    let other: PodUid = "not-made-yet".parse().unwrap();
    let third = fixture.runtime().users(&other).unwrap();
    assert!(third.first != first && third.first != second);
    assert_eq!(fixture.runtime().users(&other), Some(third), "it stays that pod's");
    fixture.runtime().remove_pod(&other).await.unwrap();
    give(&fixture.path("rootfs"), first);
    let container = |id: &str, script: &str| fixture.container_with(id, &["sh", "-c", script], with_users);
    // A user of the pod that is not root, in a process namespace that the pod shares.
    let sleeps = fixture.run(&a, container("a-0", "sleep 1000")).await;
    assert_eq!(status_line(sleeps, "Uid:"), format!("Uid:\t{first}\t{first}\t{first}\t{first}"));
    let user = fixture.container_with("b-0", &["sleep", "2000"], |spec| {
        with_users(spec);
        spec["process"]["user"] = serde_json::json!({"uid": 1000, "gid": 2000, "additionalGids": [3000]});
    });
    let pid = fixture.run(&a, user).await;
    let uid = first + 1000;
    assert_eq!(status_line(pid, "Uid:"), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    assert_eq!(status_line(pid, "Groups:").trim(), format!("Groups:\t{}", first + 3000));
    let seen = fixture.exec(&a, "b-0", &["sh", "-c", "id -u; cat /proc/1/comm; cat /proc/[0-9]*/comm"]).await;
    assert!(seen.starts_with("1000\npause\n") && seen.matches("sleep\n").count() == 2, "{seen}");
    let seen = fixture
        .exec(&a, "a-0", &["sh", "-c", "ls /proc/1/root/ 2>&1; ls -l /proc/1/exe 2>&1; kill -9 1"])
        .await;
    assert!(!seen.contains("etc") && !seen.contains("->"), "{seen}");
    // A spec without the namespace is none for such a pod.
    let refused = fixture.runtime().create(&b, fixture.container("c-0", "true")).await.unwrap_err();
    assert!(format!("{refused:?}").contains("user namespace"), "{refused:?}");
    fixture.finish().await;
}

pub(crate) async fn what_cannot_be_mapped_is_refused() {
    if !kernel_maps_owners() {
        return;
    }
    let mut fixture = Fixture::new().await;
    let (pod, first) = pod(&mut fixture, |_| ()).await;
    give(&fixture.path("rootfs"), first);
    let container = fixture.container_with("a-0", &["true"], |spec| {
        with_users(spec);
        bind(spec, Path::new("/proc/sys"), "/volume", "rw");
    });
    let error = fixture.runtime().create(&pod, container).await.unwrap_err();
    let words = format!("{error:?}");
    assert!(
        words.contains("hostUsers: false") && words.contains("/volume") && words.contains("Linux"),
        "{words}"
    );
    fixture.finish().await;
}
