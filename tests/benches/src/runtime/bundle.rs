//! What every candidate runs: one root file system, and one spec, confined as an engine does by default.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gannet_agent_spec::{defaults, seccomp::default_seccomp};
use serde_json::{Value, json};

const TOOLS: &[&str] = &["sh", "true", "sleep"];

/// Busybox and folders to mount on.
pub(super) fn rootfs(root: &Path) -> anyhow::Result<PathBuf> {
    for dir in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    fs::copy(busybox.context("busybox is not installed")?, root.join("bin/busybox"))?;
    for tool in TOOLS {
        symlink("busybox", root.join("bin").join(tool))?;
    }
    Ok(root.to_owned())
}

/// The same namespaces, mounts, capabilities and filter for all.
pub(super) fn spec(rootfs: &Path, args: &[&str]) -> Value {
    let capabilities = defaults::default_capabilities();
    let seccomp = default_seccomp(&capabilities);
    let none: [&str; 0] = [];
    let namespaces: Vec<Value> = ["pid", "mount", "network", "ipc", "uts", "cgroup"]
        .iter()
        .map(|kind| json!({"type": kind}))
        .collect();
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": rootfs, "readonly": true},
        "mounts": defaults::default_mounts(),
        "process": {
            "args": args, "cwd": "/", "env": [defaults::PATH], "user": {"uid": 0, "gid": 0}, "noNewPrivileges": true,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                "inheritable": none, "ambient": none,
            },
        },
        "linux": {
            "namespaces": namespaces,
            "resources": {"devices": [defaults::deny_all_devices()]},
            "maskedPaths": defaults::default_masked_paths(),
            "readonlyPaths": defaults::default_readonly_paths(),
            "seccomp": seccomp,
        },
    })
}

/// A bundle for the command line of the OCI runtimes.
pub(super) fn write(dir: &Path, rootfs: &Path, args: &[&str]) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("config.json"), spec(rootfs, args).to_string())?;
    Ok(dir.to_owned())
}
