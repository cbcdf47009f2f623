use gannet_protocols_model::Timestamp;

use super::*;
use crate::sample;

fn status(uid: &str, running: bool) -> (PodUid, PodStatus) {
    let started_at = Timestamp::default();
    let state = match running {
        true => ContainerState::Running { started_at },
        false => ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message: String::new() },
    };
    let status = sample::pod(uid, vec![sample::container("c", state)]);
    (status.uid.clone(), status)
}

/// Files of a hundred bytes, each modified a second after the one before.
fn folder(files: &[&str]) -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path(), dir.path());
    for (age, name) in files.iter().enumerate() {
        let path = layout.pods().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [b'x'; 100]).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + age as u64);
        fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    }
    (dir, layout)
}

#[test]
fn the_least_needed_and_oldest_go_first() {
    // In the order in which they must go.
    let order = [
        "quiet/logs/c/2.log.1",
        "loud/logs/c/3.log.2",
        "loud/logs/c/3.log.1",
        "loud/logs/c/2.log",
        "ended/logs/c/0.log",
        "quiet/logs/c/2.log",
        "loud/logs/c/3.log",
    ];
    let files = [
        "loud/logs/c/3.log.2",
        "loud/logs/c/3.log.1",
        "quiet/logs/c/2.log",
        "loud/logs/c/2.log",
        "ended/logs/c/0.log",
        "loud/logs/c/3.log",
        "loud/logs/c/nonsense",
        "loud/volumes/big",
    ];
    let statuses = BTreeMap::from([status("loud", true), status("ended", false), status("quiet", true)]);
    for keep in 0..=order.len() {
        let (_dir, layout) = folder(&[&["quiet/logs/c/2.log.1"], &files[..]].concat());
        let freed = enforce(keep as u64 * 100, &layout, &statuses).unwrap();
        assert_eq!(freed, (order.len() - keep) as u64 * 100);
        for (index, name) in order.iter().enumerate() {
            let size = fs::metadata(layout.pods().join(name)).map_or(0, |m| m.len());
            assert_eq!(size > 0, index >= order.len() - keep, "{name} with room for {keep}");
        }
        assert!(layout.pods().join("loud/logs/c/3.log").exists(), "its writer has it open");
        assert!(
            layout.pods().join("loud/volumes/big").exists()
                && layout.pods().join("loud/logs/c/nonsense").exists()
        );
    }
}

#[test]
fn without_pods_there_is_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(enforce(0, &Layout::new(dir.path(), dir.path()), &BTreeMap::new()).unwrap(), 0);
}
