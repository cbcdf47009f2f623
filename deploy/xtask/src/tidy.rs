//! Taste, by machine: who may use whom, how long a file may be, that every crate inherits the workspace's lints.
//!
//! The arrows are those of `ARCHITECTURE.md`: shells use cores, cores use `protocols/model`; the hub's crates and the
//! agent's never use each other; a core uses nothing that does I/O.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::shell::read;

/// Lines of production code beyond which a file is refused. Tests do not count.
const MAX_LINES: usize = 500;
/// Source files beyond which a folder is refused.
const MAX_FILES: usize = 30;

/// Crates that decide, and what they may never use.
const PURE: &[&str] = &[
    "gannet-protocols-model",
    "gannet-protocols-wire",
    "gannet-protocols-link",
    "gannet-hub-core",
    "gannet-agent-core",
    "gannet-agent-spec",
];
const EFFECTS: &[&str] = &[
    "tokio",
    "axum",
    "sled",
    "openraft",
    "rumqttc",
    "rmqtt",
    "libcontainer",
    "hyper",
    "reqwest",
    "nix",
    "rand",
    "getrandom",
];
const EFFECT_WORDS: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process::",
    "SystemTime::now",
    "Instant::now",
    "HashMap",
    "HashSet",
];

/// Checks the workspace at `root`; prints every finding, then fails once.
pub(crate) fn tidy(root: &Path) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    let packages = packages(root)?;
    for package in &packages {
        check_arrows(package, &mut findings);
        check_manifest(package, &mut findings)?;
        check_sources(root, package, &mut findings)?;
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{} findings:\n{}", findings.len(), findings.join("\n"))
}

struct Package {
    name: String,
    folder: PathBuf,
    /// Names of what it depends on, without its tests' dependencies.
    uses: Vec<String>,
}

fn packages(root: &Path) -> anyhow::Result<Vec<Package>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(root);
    let metadata: Value = serde_json::from_str(&read(&mut cargo)?)?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let package = |p: &Value| {
        let dependencies = p["dependencies"].as_array().into_iter().flatten();
        let uses = dependencies.filter(|d| d["kind"].is_null()).map(|d| text(&d["name"])).collect();
        let manifest = PathBuf::from(text(&p["manifest_path"]));
        let folder = manifest.parent().context("a manifest lies in a folder")?.to_owned();
        Ok(Package { name: text(&p["name"]), folder, uses })
    };
    metadata["packages"].as_array().into_iter().flatten().map(package).collect()
}

fn check_arrows(package: &Package, findings: &mut Vec<String>) {
    let side = |name: &str| {
        ["gannet-hub", "gannet-agent"].into_iter().find(|s| name == *s || name.starts_with(&format!("{s}-")))
    };
    let is_test = package.name.starts_with("gannet-tests-");
    for used in &package.uses {
        let name = &package.name;
        match (side(name), side(used)) {
            (Some(a), Some(b)) if a != b => {
                findings.push(format!("{name} uses {used}: hub and agent never use each other"))
            }
            _ => (),
        }
        if !is_test && matches!(used.as_str(), "gannet-hub" | "gannet-agent" | "xtask") {
            findings.push(format!("{name} uses {used}: nothing uses a binary"));
        }
        if PURE.contains(&name.as_str()) && EFFECTS.contains(&used.as_str()) {
            findings.push(format!("{name} uses {used}: a core does no I/O"));
        }
        if used == "k8s-openapi" && !name.starts_with("gannet-hub") && !is_test {
            findings.push(format!("{name} uses {used}: only the hub knows Kubernetes' types"));
        }
    }
}

fn check_manifest(package: &Package, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let manifest = fs::read_to_string(package.folder.join("Cargo.toml"))?;
    if !manifest.contains("[lints]\nworkspace = true") {
        findings.push(format!("{} does not inherit the workspace's lints", package.name));
    }
    Ok(())
}

fn check_sources(root: &Path, package: &Package, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let mut files = BTreeMap::new();
    collect(&package.folder.join("src"), &mut files)?;
    let mut folders: BTreeMap<&Path, usize> = BTreeMap::new();
    for folder in files.keys().filter(|path| !is_test_file(path)).filter_map(|path| path.parent()) {
        *folders.entry(folder).or_default() += 1;
    }
    for (folder, count) in folders.into_iter().filter(|(_, count)| *count > MAX_FILES) {
        let shown = folder.strip_prefix(root).unwrap_or(folder).display();
        findings.push(format!("{shown} has {count} source files, more than {MAX_FILES}: split it"));
    }
    for (path, text) in &files {
        if is_test_file(path) {
            continue;
        }
        let shown = path.strip_prefix(root).unwrap_or(path).display();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().count();
        if lines > MAX_LINES {
            findings.push(format!("{shown} has {lines} lines, more than {MAX_LINES}"));
        }
        if PURE.contains(&package.name.as_str()) {
            for word in EFFECT_WORDS.iter().filter(|w| uses_word(code, w)) {
                findings.push(format!("{shown} uses {word}: a core does no I/O and has no hash order"));
            }
        }
    }
    Ok(())
}

fn uses_word(code: &str, word: &str) -> bool {
    code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word))
}

fn is_test_file(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.ends_with("_test.rs") || name == "tests.rs" || path.components().any(|c| c.as_os_str() == "tests")
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path)?;
            files.insert(path, text);
        }
    }
    Ok(())
}
