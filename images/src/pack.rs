//! An image of one layer, made from files in memory: for examples and tests. Equal input gives equal bytes.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use serde_json::json;
use tar::{EntryType, Header};

use gannet_protocols_model::Digest;

use crate::{Descriptor, ImageManifest, Platform, media};

/// One file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFile {
    /// Where it lies, with or without a leading slash.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its mode bits.
    pub mode: u32,
}

/// How the image is run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackConfig {
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Arguments that a pod may replace.
    pub cmd: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// `8080/tcp`.
    pub exposed_ports: Vec<String>,
    /// `uid[:gid]`; root where empty.
    pub user: String,
    /// Where the program starts; `/` where empty.
    pub working_dir: String,
}

/// An image in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The manifest; its digest is the image's.
    pub manifest: Vec<u8>,
    /// The configuration.
    pub config: Vec<u8>,
    /// The layer, gzip.
    pub layer: Vec<u8>,
}

impl Packed {
    /// What the image is named by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

/// Packs an image for a platform.
pub fn pack(files: Vec<PackFile>, config: &PackConfig, platform: &Platform) -> io::Result<Packed> {
    let tar = tar_of(files)?;
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    gzip.write_all(&tar)?;
    let layer = gzip.finish()?;
    let ports: BTreeMap<&String, serde_json::Value> =
        config.exposed_ports.iter().map(|p| (p, json!({}))).collect();
    let mut document = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {
            "Entrypoint": config.entrypoint,
            "Cmd": config.cmd,
            "Env": config.env,
            "ExposedPorts": ports,
            "User": config.user,
            "WorkingDir": config.working_dir,
        },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&tar)] },
        "history": [{ "created_by": "gannet" }],
    });
    if let Some(variant) = &platform.variant {
        document["variant"] = json!(variant);
    }
    let config = serde_json::to_vec(&document)?;
    let blob = |media_type: &str, bytes: &[u8]| Descriptor {
        media_type: media_type.into(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        platform: None,
    };
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.into()),
        config: blob(media::CONFIG, &config),
        layers: vec![blob(media::LAYER_GZIP, &layer)],
    };
    Ok(Packed { manifest: serde_json::to_vec(&manifest)?, config, layer })
}

/// A tar of these files and the folders that lead to them, in order of path, without time or owner.
fn tar_of(files: Vec<PackFile>) -> io::Result<Vec<u8>> {
    let mut entries: BTreeMap<String, Option<PackFile>> = BTreeMap::new();
    for file in files {
        let path = file.path.trim_matches('/').to_owned();
        for (end, _) in path.match_indices('/') {
            entries.entry(path[..end].to_owned()).or_insert(None);
        }
        entries.insert(path, Some(file));
    }
    let mut tar = tar::Builder::new(Vec::new());
    for (path, file) in entries {
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        match file {
            None => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                tar.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Some(file) => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(file.mode);
                header.set_size(file.bytes.len() as u64);
                tar.append_data(&mut header, path, file.bytes.as_slice())?;
            }
        }
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_input_gives_equal_bytes() {
        let file = |path: &str, mode| PackFile { path: path.into(), bytes: b"same".to_vec(), mode };
        let config = PackConfig {
            entrypoint: vec!["/web-app".into()],
            exposed_ports: vec!["8080/tcp".into()],
            ..PackConfig::default()
        };
        let packed = |files| pack(files, &config, &Platform::linux("amd64", None)).unwrap();
        let one = packed(vec![file("/a/b/c", 0o644), file("/web-app", 0o755)]);
        // Neither order nor a leading slash makes another image.
        assert_eq!(one, packed(vec![file("web-app", 0o755), file("a/b/c", 0o644)]));
        assert_ne!(one.digest(), packed(vec![file("web-app", 0o700), file("a/b/c", 0o644)]).digest());
        let text = String::from_utf8_lossy(&one.config).into_owned();
        assert!(text.contains(r#""Entrypoint":["/web-app"]"#) && text.contains(r#""8080/tcp":{}"#), "{text}");
    }
}
