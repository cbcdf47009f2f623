//! Which files a volume of ConfigMaps, Secrets and fields holds: pure.

use std::collections::BTreeMap;

use gannet_protocols_model::{
    ConfigBlob, ConfigVolume, DownwardFile, DownwardValue, ProjectedSource, VolumeSource,
};

/// The longest path that Kubernetes takes.
const MAX_PATH: usize = 4096;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
}

/// Files by their relative path.
pub(crate) type Payload = BTreeMap<String, File>;

/// Where data comes from.
pub(crate) struct Data<'a> {
    /// The blob of a ConfigMap or Secret; none where an optional one does not exist.
    pub(crate) blob: &'a dyn Fn(&ConfigVolume) -> Result<Option<ConfigBlob>, NoPayload>,
    pub(crate) downward: &'a dyn Fn(&DownwardValue) -> Result<String, String>,
}

/// Why there are no files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoPayload {
    /// An object or key does not exist (yet): the hub's words.
    Missing(String),
    /// The blob is not here.
    Blob(gannet_protocols_model::Digest),
    /// What there is cannot be.
    Wrong(String),
}

/// The files of a volume of this kind; nothing where an optional object does not exist.
pub(crate) fn payload(source: &VolumeSource, data: &Data<'_>) -> Result<Payload, NoPayload> {
    let mut files = Payload::new();
    match source {
        VolumeSource::ConfigMap(config) | VolumeSource::Secret(config) => {
            add_keys(&mut files, config, config.default_mode, data)?;
        }
        VolumeSource::DownwardApi(volume) => {
            add_fields(&mut files, &volume.items, volume.default_mode, data)?;
        }
        VolumeSource::Projected(volume) => {
            for source in &volume.sources {
                match source {
                    ProjectedSource::ConfigMap(config) | ProjectedSource::Secret(config) => {
                        add_keys(&mut files, config, volume.default_mode, data)?;
                    }
                    ProjectedSource::DownwardApi(items) => {
                        add_fields(&mut files, items, volume.default_mode, data)?;
                    }
                }
            }
        }
        VolumeSource::EmptyDir { .. } | VolumeSource::HostPath { .. } => {}
    }
    // A file cannot be a folder of another one.
    for path in files.keys() {
        let mut parents = path.match_indices('/').map(|(end, _)| &path[..end]);
        if let Some(parent) = parents.find(|parent| files.contains_key(*parent)) {
            return Err(NoPayload::Wrong(format!("{path:?} lies in {parent:?}, which is a file")));
        }
    }
    Ok(files)
}

fn add_keys(
    files: &mut Payload,
    config: &ConfigVolume,
    default_mode: u32,
    data: &Data<'_>,
) -> Result<(), NoPayload> {
    if let Some(message) = &config.missing {
        return Err(NoPayload::Missing(message.clone()));
    }
    let Some(blob) = (data.blob)(config)? else { return Ok(()) };
    let all: Vec<(&str, &str, Option<u32>)> = if config.items.is_empty() {
        blob.keys().map(|key| (key, key, None)).collect()
    } else {
        config.items.iter().map(|item| (item.key.as_str(), item.path.as_str(), item.mode)).collect()
    };
    for (key, path, mode) in all {
        let missing = || NoPayload::Wrong(format!("references non-existent config key: {key}"));
        add(files, path, blob.get(key).ok_or_else(missing)?, mode.unwrap_or(default_mode))?;
    }
    Ok(())
}

fn add_fields(
    files: &mut Payload,
    items: &[DownwardFile],
    default_mode: u32,
    data: &Data<'_>,
) -> Result<(), NoPayload> {
    for item in items {
        let text = (data.downward)(&item.value).map_err(NoPayload::Wrong)?;
        add(files, &item.path, text.into_bytes(), item.mode.unwrap_or(default_mode))?;
    }
    Ok(())
}

fn add(files: &mut Payload, path: &str, bytes: Vec<u8>, mode: u32) -> Result<(), NoPayload> {
    check_path(path).map_err(NoPayload::Wrong)?;
    files.insert(path.to_owned(), File { bytes, mode: mode & 0o777 });
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    let wrong =
        |rule: &str| Err(format!("invalid path {:?}: {rule}", path.chars().take(100).collect::<String>()));
    if path.is_empty() || path.len() > MAX_PATH {
        return wrong("must be 1 to 4096 bytes");
    }
    if path.starts_with('/') {
        return wrong("must be a relative path");
    }
    // `..data` and the folders behind it are ours.
    if path.starts_with("..") {
        return wrong("must not start with '..'");
    }
    if path.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | "..") || part.len() > 255)
    {
        return wrong("must not contain '..', '.' or empty parts");
    }
    Ok(())
}

#[cfg(test)]
#[path = "payload_test.rs"]
mod tests;
