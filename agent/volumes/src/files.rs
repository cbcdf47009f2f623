//! Files that change all at once, in the layout that Kubernetes' containers know:
//!
//! ```text
//! VOLUME/..data -> ..2026_11_23_21_30_00.123456789    switched by one rename
//! VOLUME/..2026_11_23_21_30_00.123456789/KEY
//! VOLUME/KEY -> ..data/KEY
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink,
};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gannet_protocols_model::Timestamp;

use crate::payload::{File, Payload};

pub(crate) const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes the volume hold exactly these files, owned by this group. What is right already is not touched.
pub(crate) fn ensure(volume: &Path, payload: &Payload, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(volume)?;
    own(volume, 0o755, group, true)?;
    let current = current(volume);
    // Content is compared, not trusted: files that were not on disk when the power went are empty.
    if !current.as_ref().is_some_and(|name| holds(&volume.join(name), payload, group).unwrap_or(false)) {
        let folder = new_folder(volume)?;
        if let Err(error) = fill(volume, &folder, payload, group) {
            // A full disk is not made fuller.
            let _ = fs::remove_dir_all(volume.join(&folder));
            return Err(error);
        }
    }
    link(volume, payload)?;
    remove_others(volume, payload)
}

/// The name of the folder in force.
fn current(volume: &Path) -> Option<PathBuf> {
    let target = fs::read_link(volume.join(DATA)).ok()?;
    // Nobody but the agent writes here; all the same a link that leads elsewhere is not followed.
    let plain = target.to_str().is_some_and(|t| t.len() > 2 && t.starts_with("..") && !t.contains('/'));
    plain.then_some(target)
}

/// A folder that nobody has yet, named by the time as kubelet does.
fn new_folder(volume: &Path) -> io::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = now.as_secs();
    // `2026-11-23T21:30:00…` up to the seconds.
    let text = Timestamp::from_millis(seconds * 1000).to_string();
    let text: String = text.chars().take(19).map(|c| if c.is_ascii_digit() { c } else { '_' }).collect();
    let mut nanos = now.subsec_nanos();
    loop {
        let name = format!("..{text}.{nanos:09}");
        match DirBuilder::new().mode(0o755).create(volume.join(&name)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => nanos = nanos.wrapping_add(1),
            made => return made.map(|()| name),
        }
    }
}

fn fill(volume: &Path, name: &str, payload: &Payload, group: Option<u32>) -> io::Result<()> {
    let folder = volume.join(name);
    own(&folder, 0o755, group, true)?;
    for (path, file) in payload {
        write(&folder, path, file, group)?;
    }
    remove(&volume.join(DATA_NEW))?;
    symlink(name, volume.join(DATA_NEW))?;
    fs::rename(volume.join(DATA_NEW), volume.join(DATA))
}

/// Whether the folder has these files and no others, each with its mode and group.
fn holds(folder: &Path, payload: &Payload, group: Option<u32>) -> io::Result<bool> {
    let mut found = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                found += 1;
            }
        }
    }
    for (path, file) in payload {
        let mut handle =
            OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(folder.join(path))?;
        let meta = handle.metadata()?;
        let same = meta.len() == file.bytes.len() as u64
            && meta.mode() & 0o7777 == mode_for(file.mode, group, false)
            && group.is_none_or(|group| group == meta.gid());
        let mut bytes = Vec::new();
        if !same || handle.read_to_end(&mut bytes).is_err() || bytes != file.bytes {
            return Ok(false);
        }
    }
    Ok(found == payload.len())
}

fn write(folder: &Path, path: &str, file: &File, group: Option<u32>) -> io::Result<()> {
    for (end, _) in path.match_indices('/') {
        let parent = folder.join(&path[..end]);
        if !parent.is_dir() {
            DirBuilder::new().mode(0o755).create(&parent)?;
            own(&parent, 0o755, group, true)?;
        }
    }
    let path = folder.join(path);
    let mut handle = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    handle.write_all(&file.bytes)?;
    own(&path, file.mode, group, false)
}

/// Kubelet's rule for read-only volumes with an `fsGroup`: the group owns and may read all, folders keep the group.
fn mode_for(mode: u32, group: Option<u32>, is_folder: bool) -> u32 {
    match (group, is_folder) {
        (None, _) => mode,
        (Some(_), false) => mode | 0o440,
        (Some(_), true) => mode | 0o2550,
    }
}

fn own(path: &Path, mode: u32, group: Option<u32>, is_folder: bool) -> io::Result<()> {
    let mode = mode_for(mode, group, is_folder);
    let meta = fs::metadata(path)?;
    let stranger = group.filter(|&group| group != meta.gid());
    if let Some(group) = stranger {
        chown(path, None, Some(group))?;
    }
    // A change of the group takes the setgid bit away.
    if meta.mode() & 0o7777 != mode || stranger.is_some() {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// The names that containers use, each a link through `..data`.
fn link(volume: &Path, payload: &Payload) -> io::Result<()> {
    for name in top_names(payload) {
        let (path, target) = (volume.join(name), Path::new(DATA).join(name));
        if fs::read_link(&path).is_ok_and(|found| found == target) {
            continue;
        }
        remove(&path)?;
        symlink(target, path)?;
    }
    Ok(())
}

fn top_names(payload: &Payload) -> BTreeSet<&str> {
    payload.keys().filter_map(|path| path.split('/').next()).collect()
}

/// Removes keys that are gone and content of before. Folders that a `subPath` made stay, as under kubelet.
fn remove_others(volume: &Path, payload: &Payload) -> io::Result<()> {
    let (names, current) = (top_names(payload), current(volume));
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let known =
            text == DATA || current.as_ref().is_some_and(|c| c.as_os_str() == name) || names.contains(&*text);
        let ours = text.starts_with("..") || fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(DATA));
        if ours && !known {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes whatever is there; links are not followed.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
