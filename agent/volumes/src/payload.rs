//! Which files a ConfigMap or Secret becomes: pure.

use std::collections::BTreeMap;

use gannet_protocols_model::{ConfigBlob, ConfigVolume};

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

/// The files of a volume; nothing where an optional object does not exist.
pub(crate) fn payload(volume: &ConfigVolume, blob: Option<&ConfigBlob>) -> Result<Payload, String> {
    let Some(blob) = blob else {
        return Ok(Payload::new());
    };
    let default_mode = volume.default_mode & 0o777;
    let all: Vec<(&str, &str, u32)> = if volume.items.is_empty() {
        blob.keys().map(|key| (key, key, default_mode)).collect()
    } else {
        let mode = |mode: Option<u32>| mode.map_or(default_mode, |m| m & 0o777);
        volume.items.iter().map(|item| (item.key.as_str(), item.path.as_str(), mode(item.mode))).collect()
    };
    let mut files = Payload::new();
    for (key, path, mode) in all {
        check_path(path)?;
        let bytes = blob.get(key).ok_or_else(|| format!("references non-existent config key: {key}"))?;
        files.insert(path.to_owned(), File { bytes, mode });
    }
    // A file cannot be a folder of another one.
    for path in files.keys() {
        let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
        if let Some(parent) = parents.into_iter().find(|parent| files.contains_key(*parent)) {
            return Err(format!("{path:?} lies in {parent:?}, which is a file"));
        }
    }
    Ok(files)
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
mod tests {
    use gannet_protocols_model::KeyToPath;

    use super::*;

    fn check(items: &[(&str, &str, Option<u32>)], expect: &str) {
        let blob = ConfigBlob::new([("a".into(), b"1".to_vec()), ("b".into(), b"2".to_vec())]);
        let item = |(key, path, mode): &(&str, &str, Option<u32>)| KeyToPath {
            key: (*key).into(),
            path: (*path).into(),
            mode: *mode,
        };
        let volume = ConfigVolume {
            blob: Some(blob.digest()),
            missing: None,
            default_mode: 0o644,
            items: items.iter().map(item).collect(),
        };
        let got = match payload(&volume, Some(&blob)) {
            Ok(files) => files
                .iter()
                .map(|(p, f)| format!("{p}={}:{:o} ", String::from_utf8_lossy(&f.bytes), f.mode))
                .collect(),
            Err(reason) => reason,
        };
        assert!(got.contains(expect), "{got} does not say {expect}");
        assert_eq!(payload(&volume, None), Ok(Payload::new()));
    }

    #[test]
    fn payloads() {
        check(&[], "a=1:644 b=2:644 ");
        check(&[("a", "x/y", Some(0o7400)), ("b", "x/z", None)], "x/y=1:400 x/z=2:644 ");
        check(&[("c", "x", None)], "references non-existent config key: c");
        check(&[("a", "x", None), ("b", "x/y", None)], "which is a file");
        for path in ["/x", "..data", "../x", "x/../../y", "x//y", "./x", "", "x/", "x\0"] {
            check(&[("a", path, None)], "invalid path");
        }
    }
}
