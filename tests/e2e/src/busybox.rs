//! An image with a shell, for pods that do what a test wants.

use std::path::Path;

use anyhow::ensure;
use gannet_images::{PackConfig, PackFile, Platform, pack};
use gannet_protocols_model::Digest;
use gannet_tests_support::run;
use serde_json::json;

use crate::Fleet;

impl Fleet {
    /// Pushes busybox into the fleet's registry, as these references (`busybox:1`). Its programs lie in `/bin`.
    pub fn push_busybox(&self, references: &[&str]) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        layout(folder.path())?;
        for reference in references {
            let mut copy = self.sandbox().command("skopeo");
            let from = format!("oci:{}:busybox", folder.path().display());
            let to = format!("docker://127.0.0.1:5000/{reference}");
            let (status, text) = run(copy.args(["copy", "--dest-tls-verify=false", &from, &to]))?;
            ensure!(status.success(), "skopeo copy to {to}: {text}");
        }
        Ok(())
    }
}

/// The image as a folder of the OCI image layout.
fn layout(folder: &Path) -> anyhow::Result<()> {
    let busybox = std::fs::read("/usr/bin/busybox").or_else(|_| std::fs::read("/bin/busybox"))?;
    let wrapper = |program: &str| PackFile {
        path: format!("/bin/{program}"),
        bytes: format!("#!/bin/busybox sh\nexec /bin/busybox {program} \"$@\"\n").into_bytes(),
        mode: 0o755,
    };
    let mut files: Vec<PackFile> =
        ["sh", "sleep", "cat", "touch", "echo", "test"].into_iter().map(wrapper).collect();
    files.push(PackFile { path: "/bin/busybox".to_owned(), bytes: busybox, mode: 0o755 });
    let config = PackConfig {
        entrypoint: vec!["/bin/busybox".to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        ..PackConfig::default()
    };
    let packed = pack(files, &config, &Platform::of_this_build())?;
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    for bytes in [&packed.manifest, &packed.config, &packed.layer] {
        std::fs::write(blobs.join(Digest::of(bytes).hex()), bytes)?;
    }
    let manifest = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": packed.digest(),
        "size": packed.manifest.len(), "annotations": {"org.opencontainers.image.ref.name": "busybox"},
    });
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(folder.join("index.json"), index.to_string())?;
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(())
}
