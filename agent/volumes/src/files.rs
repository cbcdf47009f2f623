//! Files that change all at once, in the layout that Kubernetes' containers know:
//!
//! ```text
//! VOLUME/..data -> ..1f3a…          switched by one rename
//! VOLUME/..1f3a…/KEY                the files, in a folder named by their content
//! VOLUME/KEY -> ..data/KEY
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink,
};
use std::path::Path;

use gannet_protocols_model::Digest;

use crate::payload::{File, Payload};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes the volume hold exactly these files, owned by this group. What is right already is not touched.
pub(crate) fn ensure(volume: &Path, payload: &Payload, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(volume)?;
    own(volume, 0o755, group, true)?;
    let name = folder_name(payload, group);
    let folder = volume.join(&name);
    let current = fs::read_link(volume.join(DATA)).is_ok_and(|target| target == Path::new(&name));
    // Content is compared, not trusted: files that were not on disk when the power went are empty.
    if !current || !holds(&folder, payload) {
        remove(&folder)?;
        DirBuilder::new().mode(0o755).create(&folder)?;
        own(&folder, 0o755, group, true)?;
        for (path, file) in payload {
            write(&folder, path, file, group)?;
        }
        remove(&volume.join(DATA_NEW))?;
        symlink(&name, volume.join(DATA_NEW))?;
        fs::rename(volume.join(DATA_NEW), volume.join(DATA))?;
    }
    link(volume, payload)?;
    remove_others(volume, payload, &name)
}

/// Equal content has an equal name, so preparing again finds it; a group or mode that changed is other content.
fn folder_name(payload: &Payload, group: Option<u32>) -> String {
    let mut text = format!("{group:?}").into_bytes();
    for (path, file) in payload {
        text.extend_from_slice(format!("\n{path:?} {:o} {}", file.mode, Digest::of(&file.bytes)).as_bytes());
    }
    format!("..{}", Digest::of(&text).short())
}

fn holds(folder: &Path, payload: &Payload) -> bool {
    payload.iter().all(|(path, file)| fs::read(folder.join(path)).is_ok_and(|bytes| bytes == file.bytes))
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
fn own(path: &Path, mode: u32, group: Option<u32>, is_folder: bool) -> io::Result<()> {
    let mode = match (group, is_folder) {
        (None, _) => mode,
        (Some(_), false) => mode | 0o440,
        (Some(_), true) => mode | 0o2550,
    };
    let meta = fs::metadata(path)?;
    if let Some(group) = group.filter(|&group| group != meta.gid()) {
        chown(path, None, Some(group))?;
    }
    if meta.mode() & 0o7777 != mode {
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

/// Removes keys that are gone and content of before.
fn remove_others(volume: &Path, payload: &Payload, folder: &str) -> io::Result<()> {
    let names = top_names(payload);
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let name = entry.file_name();
        let known = name.to_str().is_some_and(|name| name == DATA || name == folder || names.contains(name));
        if !known {
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
