use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::*;

/// Makes a null device under another name: opening it harms nobody.
fn make(path: &Path, minor: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(1, minor)).unwrap();
}

fn may_make_devices() -> bool {
    rustix::process::geteuid().is_root()
}

fn ids(units: &[Unit]) -> Vec<(&str, usize)> {
    units.iter().map(|u| (u.id.as_str(), u.nodes.len())).collect()
}

#[test]
fn units_of_paths() {
    if !may_make_devices() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dev = dir.path().join("dev");
    let path = |name: &str| dev.join(name).display().to_string();
    let roots = Roots { dev: dev.clone(), sys: dir.path().join("sys") };
    let class =
        |paths: &[&str]| DeviceClass::new("m", &paths.iter().map(|p| path(p)).collect::<Vec<_>>()).unwrap();
    let look = |class: DeviceClass| scan(&[class], &roots).remove("m").unwrap();
    make(&dev.join("ttyUSB0"), 3);
    make(&dev.join("ttyUSB1"), 5);
    fs::write(dev.join("ttyUSB2"), "a file is no device").unwrap();
    fs::create_dir(dev.join("ttyUSB3")).unwrap();
    symlink("ttyUSB0", dev.join("ttyUSB4")).unwrap();
    symlink("nowhere", dev.join("ttyUSB5")).unwrap();
    let (zero, one) = (path("ttyUSB0"), path("ttyUSB1"));
    assert_eq!(ids(&look(class(&["ttyUSB*"]))), [(zero.as_str(), 1), (one.as_str(), 1)]);
    assert_eq!(ids(&look(class(&["ttyUSB1", "ttyUSB*"]))), [(one.as_str(), 1), (zero.as_str(), 1)]);

    // udev's link is the name that lasts.
    fs::create_dir_all(dev.join("serial/by-id")).unwrap();
    symlink("../../ttyUSB1", dev.join("serial/by-id/usb-FTDI")).unwrap();
    let lasting = path("serial/by-id/usb-FTDI");
    let found = look(class(&["ttyUSB*"]));
    assert_eq!(ids(&found), [(zero.as_str(), 1), (lasting.as_str(), 1)]);
    assert_eq!((&found[1].aliases[..], &found[1].nodes[0].path), (&[one][..], &dev.join("ttyUSB1")));
    let by_link = look(class(&["serial/by-id/*"]));
    assert_eq!(
        (ids(&by_link), by_link[0].nodes[0].path.display().to_string()),
        (vec![(lasting.as_str(), 1)], lasting.clone())
    );

    let together = |paths: &[&str]| look(class(paths).together(true));
    assert_eq!(ids(&together(&["ttyUSB0", "ttyUSB1"])), [("all of m", 2)]);
    assert_eq!(ids(&together(&["ttyUSB0", "ttyACM*"])), []);
}

#[test]
fn units_of_usb() {
    if !may_make_devices() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { dev: dir.path().join("dev"), sys: dir.path().join("sys") };
    let device = |socket: &str, product: &str, number: u32, serial: Option<&str>| {
        let sys = roots.sys.join("bus/usb/devices").join(socket);
        fs::create_dir_all(&sys).unwrap();
        let device = number.to_string();
        let files =
            [("idVendor", "1d50\n"), ("idProduct", product), ("busnum", "1"), ("devnum", device.as_str())];
        for (name, text) in files.into_iter().chain(serial.map(|s| ("serial", s))) {
            fs::write(sys.join(name), text).unwrap();
        }
    };
    device("1-1", "606f\n", 4, None);
    device("1-2", "606f\n", 5, Some("ABC"));
    device("1-3", "6070\n", 6, None);
    device("1-4", "606f\n", 7, None);
    fs::create_dir_all(roots.sys.join("bus/usb/devices/1-1:1.0")).unwrap();
    for minor in [4, 5, 6] {
        make(&roots.dev.join(format!("bus/usb/001/{minor:03}")), minor);
    }
    let class = DeviceClass::new("stick", &[]).unwrap().usb("1d50:606f").unwrap().finish().unwrap();
    let found = scan(&[class], &roots).remove("stick").unwrap();
    assert_eq!(
        ids(&found),
        [("usb 1d50:606f at 1-1", 1), ("usb 1d50:606f serial ABC", 1)],
        "1-4 has no node"
    );
    assert_eq!(found[1].nodes[0].path, roots.dev.join("bus/usb/001/005"));
}

#[test]
fn all_nodes_of_a_privileged_container() {
    if !may_make_devices() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["null", "a/b", "pts/0", "console"] {
        make(&dir.path().join(name), 3);
    }
    symlink("null", dir.path().join("link")).unwrap();
    let found: Vec<_> = all_nodes(dir.path()).into_iter().map(|n| n.path_in_container).collect();
    assert_eq!(found, [dir.path().join("a/b"), dir.path().join("null")]);
}
