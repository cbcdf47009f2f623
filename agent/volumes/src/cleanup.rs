//! The end of a pod's volumes.

use std::fs;
use std::io;
use std::path::Path;

use crate::prepare::FOLDER;
use crate::{VolumeError, bind, tmpfs};

/// Unmounts and removes what [`crate::prepare`] and [`crate::mount_source`] made; paths of the node stay. Nothing there is
/// fine.
pub fn cleanup(pod_dir: &Path) -> Result<(), VolumeError> {
    bind::clear_all(pod_dir)?;
    let folder = pod_dir.join(FOLDER);
    tmpfs::unmount_all(&folder)?;
    match fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(VolumeError::io("remove", &folder)(e)),
        _ => Ok(()),
    }
}
