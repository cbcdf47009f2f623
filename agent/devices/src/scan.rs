//! Which units of each class are there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use gannet_agent_spec::{DeviceKind, DeviceNode};

use crate::class::DeviceClass;
use crate::usb;

/// Folders whose links name a device for as long as it lives, best first: by its serial number, then by its socket.
const LASTING: [&str; 8] = [
    "serial/by-id",
    "v4l/by-id",
    "disk/by-id",
    "input/by-id",
    "serial/by-path",
    "v4l/by-path",
    "disk/by-path",
    "input/by-path",
];

/// Where devices are looked for: another folder in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/dev`
    pub dev: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into() }
    }
}

/// A device node that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    /// As the class's pattern found it.
    pub(crate) path: PathBuf,
    pub(crate) number: Number,
}

/// What a device is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number {
    pub(crate) kind: DeviceKind,
    pub(crate) major: i64,
    pub(crate) minor: i64,
}

/// What is given to a container as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its name that lasts longest: over reboots and sockets where udev knows one.
    pub(crate) id: String,
    /// Names by which it may have been remembered before udev knew a better one.
    pub(crate) aliases: Vec<String>,
    pub(crate) nodes: Vec<Node>,
}

/// The units of each class that are there, in order.
pub(crate) type Inventory = BTreeMap<String, Vec<Unit>>;

/// Looks.
pub(crate) fn scan(classes: &[DeviceClass], roots: &Roots) -> Inventory {
    let lasting = lasting_names(&roots.dev);
    classes.iter().map(|class| (class.name.clone(), units(class, roots, &lasting))).collect()
}

fn units(class: &DeviceClass, roots: &Roots, lasting: &BTreeMap<PathBuf, Vec<String>>) -> Vec<Unit> {
    if let Some(id) = class.usb {
        return usb::units(id, roots);
    }
    let found: Vec<Vec<Node>> = class
        .paths
        .iter()
        .map(|pattern| pattern.expand().iter().filter_map(|path| node(path)).collect())
        .collect();
    if class.together {
        if found.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        let nodes = once(found.into_iter().flatten());
        return vec![Unit { id: format!("all of {}", class.name), aliases: Vec::new(), nodes }];
    }
    let unit = |node: Node| {
        let path = node.path.display().to_string();
        let real = fs::canonicalize(&node.path).unwrap_or_else(|_| node.path.clone());
        let mut names = lasting.get(&real).cloned().unwrap_or_default();
        // A path that the configuration itself gives by its lasting name stays that.
        names.push(path);
        let id = names.remove(0);
        Unit { id, aliases: names, nodes: vec![node] }
    };
    once(found.into_iter().flatten()).into_iter().map(unit).collect()
}

/// Leaves out what was found by another path before.
fn once(nodes: impl Iterator<Item = Node>) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::new();
    for node in nodes {
        if !kept.iter().any(|k| k.number == node.number) {
            kept.push(node);
        }
    }
    kept
}

/// The node at a path, through links; none where it is anything but a device.
pub(crate) fn node(path: &Path) -> Option<Node> {
    let metadata = fs::metadata(path).ok()?;
    let kind = match metadata.file_type() {
        t if t.is_char_device() => DeviceKind::Char,
        t if t.is_block_device() => DeviceKind::Block,
        _ => return None,
    };
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    Some(Node { path: path.to_owned(), number: Number { kind, major: major.into(), minor: minor.into() } })
}

/// Which lasting names lead to each device.
fn lasting_names(dev: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut names: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for folder in LASTING {
        let entries = fs::read_dir(dev.join(folder)).into_iter().flatten().flatten();
        let mut links: Vec<PathBuf> = entries.map(|e| e.path()).collect();
        links.sort();
        for link in links {
            if let Ok(real) = fs::canonicalize(&link) {
                names.entry(real).or_default().push(link.display().to_string());
            }
        }
    }
    names
}

/// Every device node below `/dev`, for privileged containers. Terminals of others, shared memory and the container's own
/// console are left out, as container runtimes do.
pub fn all_nodes(dev: &Path) -> Vec<DeviceNode> {
    const SKIPPED: [&str; 7] = ["pts", "shm", "fd", "mqueue", "console", ".lxc", ".udev"];
    let mut found = Vec::new();
    let mut waiting = vec![dev.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            let skipped = dir == dev && entry.file_name().to_str().is_some_and(|n| SKIPPED.contains(&n));
            if skipped || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                waiting.push(path);
            } else if let Some(node) = node_as_it_is(path) {
                found.push(node);
            }
        }
    }
    found.sort();
    found
}

/// A node with owner and mode that it has on the machine.
fn node_as_it_is(path: PathBuf) -> Option<DeviceNode> {
    let Number { kind, major, minor } = node(&path)?.number;
    let metadata = fs::metadata(&path).ok()?;
    Some(DeviceNode {
        path_in_container: path.clone(),
        path_on_node: path,
        major,
        minor,
        kind,
        access: "rwm".to_owned(),
        mode: Some(metadata.mode() & 0o7777),
        owner: Some((metadata.uid(), metadata.gid())),
    })
}

#[cfg(test)]
#[path = "scan_test.rs"]
mod tests;
