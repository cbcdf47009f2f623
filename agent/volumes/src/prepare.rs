//! All volumes of a pod.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use gannet_protocols_model::{
    ByteSize, ConfigBlob, ConfigVolume, Digest, DownwardValue, Manifest, Volume, VolumeSource,
};

use crate::files::DATA;
use crate::payload::{Data, NoPayload, Payload, payload};
use crate::tmpfs::Tmpfs;
use crate::{VolumeError, files, host_path};

/// Where a pod's volumes lie in its folder.
pub(crate) const FOLDER: &str = "volumes";
/// What volumes of files in memory may take at the least.
const FILES_BYTES: u64 = 4 << 20;
const PAGE: u64 = 4096;

/// What a pod's volumes are made from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The bytes of a config blob whose digest was checked.
    pub blobs: &'a dyn Fn(&Digest) -> Option<Vec<u8>>,
    /// What a field of the pod, or a resource of one of its containers, is; or why there is none.
    pub downward: &'a dyn Fn(&DownwardValue) -> Result<String, String>,
    /// The memory that the pod can have: no emptyDir in memory is larger.
    pub memory: Option<ByteSize>,
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// Makes a pod's volumes, or brings them up to date. Returns where each lies on the node. Waits for the disk.
///
/// # Errors
/// Of the first volume that cannot be made; the others are made all the same.
pub fn prepare(
    pod_dir: &Path,
    manifest: &Manifest,
    sources: &Sources<'_>,
) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
    let mut places = BTreeMap::new();
    let mut failed = None;
    for volume in &manifest.volumes {
        match ensure(pod_dir, volume, manifest.fs_group, sources) {
            Ok(place) => drop(places.insert(volume.name.clone(), place)),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    failed.map_or(Ok(places), Err)
}

/// Whether containers get the volume without write access, whatever their mount says.
pub fn is_read_only(source: &VolumeSource) -> bool {
    match source {
        VolumeSource::ConfigMap(_)
        | VolumeSource::Secret(_)
        | VolumeSource::Projected(_)
        | VolumeSource::DownwardApi(_) => true,
        VolumeSource::EmptyDir { .. } | VolumeSource::HostPath { .. } => false,
    }
}

fn ensure(
    pod_dir: &Path,
    volume: &Volume,
    group: Option<u32>,
    sources: &Sources<'_>,
) -> Result<PathBuf, VolumeError> {
    if !is_label(&volume.name) {
        return Err(VolumeError::Name { name: volume.name.chars().take(100).collect() });
    }
    let place = pod_dir.join(FOLDER).join(&volume.name);
    match &volume.source {
        VolumeSource::EmptyDir { memory: false, .. } => make_folder(&place, group)?,
        VolumeSource::EmptyDir { memory: true, size_limit } => {
            let limit = size_limit.filter(|size| size.0 > 0);
            let size = [limit, sources.memory].into_iter().flatten().map(|size| size.0).min();
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            Tmpfs { size, flags, mode: folder_mode(group), group }.ensure(&place)?;
        }
        VolumeSource::HostPath { path, kind } => return host_path::ensure(&volume.name, path, *kind),
        VolumeSource::ConfigMap(_)
        | VolumeSource::Secret(_)
        | VolumeSource::Projected(_)
        | VolumeSource::DownwardApi(_) => ensure_files(volume, &place, group, sources)?,
    }
    Ok(place)
}

/// A folder on disk. It gets its mode and group before its name: what a container makes of them later stays.
fn make_folder(place: &Path, group: Option<u32>) -> Result<(), VolumeError> {
    if place.is_dir() {
        return Ok(());
    }
    let folder = place.parent().unwrap_or(place);
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    fs::create_dir_all(&new).map_err(VolumeError::io("make folder", &new))?;
    open_to_all(&new, group).map_err(VolumeError::io("set owner and mode of", &new))?;
    fs::rename(&new, place).map_err(VolumeError::io("make folder", place))
}

/// Any user of any container may write; with an `fsGroup`, files that are made belong to the group.
fn open_to_all(place: &Path, group: Option<u32>) -> io::Result<()> {
    if group.is_some() {
        chown(place, None, group)?;
    }
    fs::set_permissions(place, fs::Permissions::from_mode(folder_mode(group)))
}

fn folder_mode(group: Option<u32>) -> u32 {
    if group.is_some() { 0o2777 } else { 0o777 }
}

fn ensure_files(
    volume: &Volume,
    place: &Path,
    group: Option<u32>,
    sources: &Sources<'_>,
) -> Result<(), VolumeError> {
    let name = || volume.name.clone();
    let data = Data { blob: &|config| read_blob(config, sources.blobs), downward: sources.downward };
    let payload = match payload(&volume.source, &data) {
        Ok(payload) => payload,
        // A pod that already runs keeps what it has, as under kubelet.
        Err(NoPayload::Missing(_)) if place.join(DATA).exists() => return Ok(()),
        Err(NoPayload::Missing(message)) => return Err(VolumeError::Missing { volume: name(), message }),
        Err(NoPayload::Blob(blob)) => return Err(VolumeError::Blob { volume: name(), blob }),
        Err(NoPayload::Wrong(reason)) => return Err(VolumeError::Data { volume: name(), reason }),
    };
    // As kubelet: of these only ConfigMaps are on the disk.
    if !matches!(volume.source, VolumeSource::ConfigMap(_)) {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let size = Some(memory_of(&payload));
        Tmpfs { size, flags, mode: 0o755, group: None }.ensure(place)?;
    }
    files::ensure(place, &payload, group).map_err(VolumeError::io("write", place))
}

/// Old and new content are there at the same time while they change, and each file takes whole pages.
fn memory_of(payload: &Payload) -> u64 {
    let pages: u64 = payload.values().map(|file| (file.bytes.len() as u64).div_ceil(PAGE) + 2).sum();
    (pages * PAGE * 4).max(FILES_BYTES)
}

fn read_blob(
    config: &ConfigVolume,
    blobs: &dyn Fn(&Digest) -> Option<Vec<u8>>,
) -> Result<Option<ConfigBlob>, NoPayload> {
    let Some(digest) = config.blob else { return Ok(None) };
    let bytes = blobs(&digest).ok_or(NoPayload::Blob(digest))?;
    let wrong = |e| NoPayload::Wrong(format!("data {digest} does not parse: {e}"));
    ConfigBlob::parse(&bytes).map(Some).map_err(wrong)
}

/// A name that is one plain part of a path (RFC 1123).
pub(crate) fn is_label(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= 63
        && matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if plain(first) && plain(last))
        && bytes.iter().all(|&b| plain(b) || b == b'-')
}

#[cfg(test)]
#[path = "prepare_test.rs"]
mod tests;
