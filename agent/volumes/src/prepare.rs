//! All volumes of a pod.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use gannet_protocols_model::{ConfigBlob, ConfigVolume, Digest, Manifest, Volume, VolumeSource};

use crate::payload::payload;
use crate::{VolumeError, files, host_path, tmpfs};

/// Where a pod's volumes lie in its folder.
pub(crate) const FOLDER: &str = "volumes";
/// A Secret has at most 1 MiB; twice that is there while it changes, and each file takes whole pages.
const SECRET_BYTES: u64 = 16 << 20;

/// Makes a pod's volumes, or brings them up to date. Returns where each lies on the node.
///
/// `blobs` gives the bytes of a config blob whose digest was checked. Waits for the disk.
pub fn prepare(
    pod_dir: &Path,
    manifest: &Manifest,
    blobs: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
    let mut places = BTreeMap::new();
    for volume in &manifest.volumes {
        let place = ensure(pod_dir, volume, manifest.fs_group, blobs)?;
        places.insert(volume.name.clone(), place);
    }
    Ok(places)
}

/// Whether containers get the volume without write access, whatever their mount says.
pub fn is_read_only(source: &VolumeSource) -> bool {
    matches!(source, VolumeSource::ConfigMap(_) | VolumeSource::Secret(_))
}

fn ensure(
    pod_dir: &Path,
    volume: &Volume,
    group: Option<u32>,
    blobs: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Result<PathBuf, VolumeError> {
    if !is_label(&volume.name) {
        return Err(VolumeError::Name { name: volume.name.chars().take(100).collect() });
    }
    let place = pod_dir.join(FOLDER).join(&volume.name);
    match &volume.source {
        VolumeSource::EmptyDir { memory, size_limit } => {
            if *memory {
                tmpfs::ensure(&place, size_limit.map(|size| size.0), MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
            } else {
                fs::create_dir_all(&place).map_err(VolumeError::io("make folder", &place))?;
            }
            open_to_all(&place, group).map_err(VolumeError::io("set owner and mode of", &place))?;
        }
        VolumeSource::ConfigMap(config) => ensure_files(&volume.name, &place, config, group, blobs, None)?,
        VolumeSource::Secret(config) => {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            ensure_files(&volume.name, &place, config, group, blobs, Some(flags))?;
        }
        VolumeSource::HostPath { path, kind } => return host_path::ensure(&volume.name, path, *kind),
        VolumeSource::Projected(_) | VolumeSource::DownwardApi(_) => {
            let reason = "not known yet".to_owned();
            return Err(VolumeError::Data { volume: volume.name.clone(), reason });
        }
    }
    Ok(place)
}

fn ensure_files(
    volume: &str,
    place: &Path,
    config: &ConfigVolume,
    group: Option<u32>,
    blobs: &dyn Fn(&Digest) -> Option<Vec<u8>>,
    in_memory: Option<MsFlags>,
) -> Result<(), VolumeError> {
    let volume = volume.to_owned();
    if let Some(message) = &config.missing {
        // A pod that already runs keeps what it has, as under kubelet.
        if place.join("..data").exists() {
            return Ok(());
        }
        return Err(VolumeError::Missing { volume, message: message.clone() });
    }
    let blob = match config.blob {
        None => None,
        Some(digest) => {
            let bytes =
                blobs(&digest).ok_or_else(|| VolumeError::Blob { volume: volume.clone(), blob: digest })?;
            let parsed = ConfigBlob::parse(&bytes);
            let reason = |e| VolumeError::Data {
                volume: volume.clone(),
                reason: format!("data {digest} does not parse: {e}"),
            };
            Some(parsed.map_err(reason)?)
        }
    };
    let payload = payload(config, blob.as_ref()).map_err(|reason| VolumeError::Data { volume, reason })?;
    if let Some(flags) = in_memory {
        tmpfs::ensure(place, Some(SECRET_BYTES), flags)?;
    }
    files::ensure(place, &payload, group).map_err(VolumeError::io("write", place))
}

/// Any user of any container may write; with an `fsGroup`, files that are made belong to the group.
fn open_to_all(place: &Path, group: Option<u32>) -> std::io::Result<()> {
    if group.is_some() {
        chown(place, None, group)?;
    }
    let mode = if group.is_some() { 0o2777 } else { 0o777 };
    fs::set_permissions(place, fs::Permissions::from_mode(mode))
}

fn is_label(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= 63
        && matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if plain(first) && plain(last))
        && bytes.iter().all(|&b| plain(b) || b == b'-')
}

#[cfg(test)]
#[path = "prepare_test.rs"]
mod tests;
