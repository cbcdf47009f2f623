//! `cargo xtask up`: from a fresh machine to a running fleet of one.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use crate::install;
use crate::shell::{cargo, root, run, step};

/// What `gannet up` gets.
#[derive(Args)]
pub(crate) struct UpArgs {
    /// Build with optimizations (takes minutes longer, once).
    #[arg(long)]
    release: bool,
    /// Arguments of `gannet up`; without any, `--example web-app`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Installs, builds, and becomes `gannet up`.
pub(crate) fn up(args: &UpArgs) -> anyhow::Result<()> {
    install::packages(install::RUN)?;
    let mut build = cargo();
    build.args(["build", "--workspace", "--bins"]);
    if args.release {
        build.arg("--release");
    }
    run(&mut build)?;
    let profile = if args.release { "release" } else { "debug" };
    let mut gannet = Command::new(root().join("target").join(profile).join("gannet"));
    gannet.arg("up");
    if args.rest.is_empty() {
        gannet.args(["--example", "web-app"]);
    }
    gannet.args(&args.rest);
    step("gannet up");
    Err(gannet.exec().into())
}
