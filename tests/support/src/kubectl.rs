//! Real kubectls, unmodified.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::program::run;

/// The kubectls that `cargo xtask test` fetched: Debian's 1.20 and the newest.
pub fn kubectl_binaries() -> anyhow::Result<[PathBuf; 2]> {
    let from = |name: &str, fallback: &str| {
        let path = std::env::var_os(name).map(PathBuf::from).unwrap_or_else(|| {
            let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
            tools.join(fallback)
        });
        ensure!(path.is_file(), "{} is missing; run cargo xtask test once, or set {name}", path.display());
        Ok(path)
    };
    Ok([
        from("GANNET_TEST_KUBECTL_OLD", "kubectl-debian/usr/bin/kubectl")?,
        from("GANNET_TEST_KUBECTL", "kubectl-pypi/kubectl")?,
    ])
}

/// One kubectl with one kubeconfig, perhaps inside a network namespace.
#[derive(Debug, Clone)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// `--kubeconfig`.
    pub kubeconfig: PathBuf,
    /// The network namespace's file, where the API is reached only from inside one.
    pub netns: Option<PathBuf>,
    /// `HOME`, for discovery caches that no other test shares.
    pub home: PathBuf,
}

impl Kubectl {
    /// The command, to be run in any way.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.netns {
            Some(netns) => {
                let mut enter = Command::new("nsenter");
                enter.arg(format!("--net={}", netns.display())).arg(&self.program);
                enter
            }
            None => Command::new(&self.program),
        };
        command.env("HOME", &self.home).arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        command
    }

    /// What it prints; fails where it fails.
    pub fn ok(&self, args: &[&str]) -> anyhow::Result<String> {
        let (status, text) = run(&mut self.command(args))?;
        ensure!(status.success(), "kubectl {}: {status}\n{text}", args.join(" "));
        Ok(text)
    }

    /// What it prints as it fails; fails where it succeeds.
    pub fn fails(&self, args: &[&str]) -> anyhow::Result<String> {
        let (status, text) = run(&mut self.command(args))?;
        ensure!(!status.success(), "kubectl {} should fail:\n{text}", args.join(" "));
        Ok(text)
    }

    /// An object or list as JSON.
    pub fn json(&self, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        let text = self.ok(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| text)
    }
}
