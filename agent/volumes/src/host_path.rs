//! Paths of the node, checked.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use gannet_protocols_model::HostPathKind;

use crate::VolumeError;

/// Checks, and where the kind says so makes, what is at a path of the node.
pub(crate) fn ensure(volume: &str, path: &str, kind: HostPathKind) -> Result<PathBuf, VolumeError> {
    let host = Path::new(path);
    if !host.is_absolute() || host.components().any(|part| part == Component::ParentDir) {
        let reason = format!("hostPath {path:?} must be absolute and not contain '..'");
        return Err(VolumeError::Data { volume: volume.into(), reason });
    }
    match kind {
        // Without a type nothing is checked; what is missing is then made, as container engines do.
        HostPathKind::Any | HostPathKind::DirectoryOrCreate if !host.exists() => DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(host)
            .map_err(VolumeError::io("make folder", host))?,
        HostPathKind::FileOrCreate if !host.exists() => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(host);
            made.map_err(VolumeError::io("make file", host))?;
        }
        _ => {}
    }
    let meta = match fs::metadata(host) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        meta => Some(meta.map_err(VolumeError::io("look at", host))?),
    };
    let is = |test: fn(&fs::Metadata) -> bool| meta.as_ref().is_some_and(test);
    let (good, expected) = match kind {
        HostPathKind::Any => (meta.is_some(), "there"),
        HostPathKind::Directory | HostPathKind::DirectoryOrCreate => {
            (is(fs::Metadata::is_dir), "a directory")
        }
        HostPathKind::File | HostPathKind::FileOrCreate => (is(fs::Metadata::is_file), "a file"),
        HostPathKind::Socket => (is(|m| m.file_type().is_socket()), "a socket file"),
        HostPathKind::CharDevice => (is(|m| m.file_type().is_char_device()), "a character device"),
        HostPathKind::BlockDevice => (is(|m| m.file_type().is_block_device()), "a block device"),
    };
    if good {
        return Ok(host.to_owned());
    }
    Err(VolumeError::HostPath { volume: volume.into(), path: path.into(), expected })
}
