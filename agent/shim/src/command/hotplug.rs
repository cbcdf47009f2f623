//! Devices of a running container that come and go: the node in its `/dev`, and the right to use it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Gid, Uid, chown};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use crate::command::join::Namespaces;
use crate::container::ReplyTo;
use crate::handle::internal;
use crate::kernel::cgroup::{self, Place};
use crate::kernel::devices;
use crate::prepare::{LAUNCH, Launch};
use crate::process::ProcessId;
use crate::protocol::{ErrorKind, Failure};
use crate::record::{read_json, write_json};
use crate::shim::{Job, Shim};

fn rule(node: &LinuxDevice, access: &str) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(node.typ()))
        .set_major(Some(node.major()))
        .set_minor(Some(node.minor()))
        .set_access(Some(access.to_owned()));
    rule
}

fn is_plain(path: &Path) -> bool {
    path.starts_with("/dev")
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

impl Shim {
    /// Gives or takes a device. What the container may use is remembered before it is changed.
    pub(crate) fn device(
        &mut self,
        reply: ReplyTo,
        id: &str,
        node: &LinuxDevice,
        access: &str,
        remove: bool,
    ) -> Result<(), Failure> {
        let users = self.sandbox.users.is_some();
        let container = self.find(id)?;
        let invalid =
            |why: &str| Failure::new(ErrorKind::Invalid, format!("device {}: {why}", node.path().display()));
        let wrong = !access.bytes().all(|b| matches!(b, b'r' | b'w' | b'm')) || access.is_empty();
        if !is_plain(node.path()) || !matches!(node.typ(), LinuxDeviceType::B | LinuxDeviceType::C) || wrong {
            return Err(invalid("not a block or character device below /dev, with access of r, w and m"));
        }
        if users {
            return Err(Failure::new(
                ErrorKind::Refused,
                "devices of a pod with hostUsers: false cannot come and go while it runs",
            ));
        }
        let running = container.record.process.filter(|_| container.exit.is_none());
        let Some(init) = running else {
            return Err(Failure::new(ErrorKind::BadState, format!("container {id} is not running")));
        };
        let path = container.record.bundle.join(LAUNCH);
        let rules = note(&path, &rule(node, access), remove).map_err(|err| internal(&err))?;
        let cgroup = container.record.cgroup.clone();
        let node = node.clone();
        let access = access.to_owned();
        let job = Job::Device { reply };
        self.spawn(job, None, Vec::new(), move |_| change(init, &cgroup, &node, &access, &rules, remove))
            .map_err(|err| internal(&err))
    }
}

/// Remembers a rule, or forgets it. Gives all that hold.
fn note(path: &Path, rule: &LinuxDeviceCgroup, remove: bool) -> io::Result<Vec<LinuxDeviceCgroup>> {
    let missing = || io::Error::other(format!("{} is missing", path.display()));
    let mut launch: Launch = read_json(path)?.ok_or_else(missing)?;
    launch.devices.retain(|held| held != rule);
    if !remove {
        launch.devices.push(rule.clone());
    }
    write_json(path, &launch)?;
    Ok(launch.devices)
}

/// In a child, which enters the container's mounts: a path there leads nowhere else.
fn change(
    init: ProcessId,
    cgroup: &str,
    node: &LinuxDevice,
    access: &str,
    rules: &[LinuxDeviceCgroup],
    remove: bool,
) -> Result<(), String> {
    let said = |err: io::Error| format!("device {}: {err}", node.path().display());
    allow(cgroup, node, access, rules, remove).map_err(said)?;
    let namespaces = Namespaces::of(init).map_err(said)?;
    namespaces.enter_mounts()?;
    let outcome = if remove { take(node) } else { make(node) };
    outcome.map_err(said)
}

fn allow(
    cgroup: &str,
    node: &LinuxDevice,
    access: &str,
    rules: &[LinuxDeviceCgroup],
    remove: bool,
) -> io::Result<()> {
    let Some(Place { dir, unified }) = cgroup::controller("devices", cgroup) else {
        return Err(io::Error::other("no hierarchy controls devices"));
    };
    if unified {
        return devices::replace(&dir, rules);
    }
    let kind = if node.typ() == LinuxDeviceType::B { 'b' } else { 'c' };
    let file = dir.join(if remove { "devices.deny" } else { "devices.allow" });
    fs::write(file, format!("{kind} {}:{} {access}", node.major(), node.minor()))
}

fn number(node: &LinuxDevice) -> io::Result<u64> {
    let part = |n: i64| u64::try_from(n).map_err(io::Error::other);
    Ok(makedev(part(node.major())?, part(node.minor())?))
}

fn make(node: &LinuxDevice) -> io::Result<()> {
    let path = node.path();
    let wanted = number(node)?;
    if let Ok(found) = fs::symlink_metadata(path) {
        let device = found.file_type().is_block_device() || found.file_type().is_char_device();
        if device && found.rdev() == wanted {
            return Ok(());
        }
        if !device {
            return Err(io::Error::other("something else is there"));
        }
        fs::remove_file(path)?;
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let flag = if node.typ() == LinuxDeviceType::B { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    let mode = node.file_mode().unwrap_or(0o660);
    mknod(path, flag, Mode::from_bits_truncate(0o600), wanted)?;
    let (uid, gid) = (node.uid().map(Uid::from_raw), node.gid().map(Gid::from_raw));
    chown(path, uid, gid)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777))
}

/// Removes the node, if it is still the one that was given.
fn take(node: &LinuxDevice) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(node.path()) else { return Ok(()) };
    let device = found.file_type().is_block_device() || found.file_type().is_char_device();
    if device && found.rdev() == number(node)? { fs::remove_file(node.path()) } else { Ok(()) }
}
