use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::*;
use crate::class::PREFIX;

fn make(path: &Path, minor: u32) {
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(1, minor)).unwrap();
}

fn open(dir: &Path) -> Devices {
    let class = DeviceClass::new("modbus", &[format!("{}/tty*", dir.display())]).unwrap();
    Devices::open(vec![class], Roots::default(), dir.join("volatile.json"), dir.join("durable.json"))
}

fn ask(devices: &Devices, pod: &str) -> Result<Vec<i64>, String> {
    let (pod, wants) = (pod.parse().unwrap(), BTreeMap::from([(format!("{PREFIX}modbus"), 1)]));
    let request = Request { pod: &pod, container: "main", wants: &wants, ended: &[] };
    devices.allocate(&request).map(|n| n.iter().map(|n| n.minor).collect()).map_err(|e| e.to_string())
}

#[test]
fn grants_last() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make(&dir.path().join("tty0"), 3);
    let devices = open(dir.path());
    assert_eq!(devices.counts(), BTreeMap::from([("devices.gannet.dev/modbus".to_owned(), 1)]));
    assert_eq!(ask(&devices, "p"), Ok(vec![3]));
    let refusal = "Allocate failed due to requested number of devices unavailable for devices.gannet.dev/modbus. \
        Requested: 1, Available: 0, which is unexpected";
    assert_eq!(ask(&devices, "q"), Err(refusal.to_owned()));

    // The next agent; the next boot; a file that a power cut spoilt in memory cannot hide the one on the disk.
    assert_eq!(ask(&open(dir.path()), "q"), Err(refusal.to_owned()));
    fs::remove_file(dir.path().join("volatile.json")).unwrap();
    assert_eq!(ask(&open(dir.path()), "q"), Err(refusal.to_owned()));
    fs::write(dir.path().join("volatile.json"), "{").unwrap();
    let devices = open(dir.path());
    assert_eq!(ask(&devices, "q"), Err(refusal.to_owned()));
    assert!(dir.path().join("volatile.corrupt").exists());

    devices.retain(|_| true).unwrap();
    assert_eq!(ask(&devices, "q"), Err(refusal.to_owned()));
    devices.free(&"p".parse().unwrap()).unwrap();
    assert_eq!(ask(&devices, "q"), Ok(vec![3]));
    assert_eq!(ask(&open(dir.path()), "p"), Err(refusal.to_owned()));
}

#[test]
fn devices_go_and_come() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tty0");
    make(&path, 3);
    let devices = open(dir.path());
    assert_eq!(ask(&devices, "p"), Ok(vec![3]));
    assert_eq!(devices.rescan().unwrap(), []);
    fs::remove_file(&path).unwrap();
    let gone = devices.rescan().unwrap();
    assert!(
        matches!(&gone[..], [Change { kind: ChangeKind::Gone(_), pod, .. }] if pod.as_str() == "p"),
        "{gone:?}"
    );
    assert_eq!(devices.counts()["devices.gannet.dev/modbus"], 0);
    assert_eq!(devices.rescan().unwrap(), [], "told once");
    assert_eq!(open(dir.path()).rescan().unwrap(), [], "also where the agent was restarted");
    make(&path, 5);
    let back = devices.rescan().unwrap();
    let [Change { kind: ChangeKind::Back { old, new: nodes }, resource, .. }] = &back[..] else {
        panic!("{back:?}")
    };
    assert_eq!(old[0].minor, 3);
    assert_eq!(
        (nodes[0].minor, &nodes[0].path_in_container, resource.as_str()),
        (5, &PathBuf::from("/dev/tty0"), "devices.gannet.dev/modbus")
    );
    assert!(ask(&devices, "q").is_err(), "it is still that pod's");
    assert_eq!(devices.rescan().unwrap(), []);
    // Between two looks it became another device.
    fs::remove_file(&path).unwrap();
    make(&path, 7);
    assert!(matches!(&devices.rescan().unwrap()[..], [Change { kind: ChangeKind::Back { .. }, .. }]));
}
