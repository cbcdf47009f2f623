//! `cargo xtask bench`: builds what is measured in release mode, and measures it.

use clap::{Args, ValueEnum};

use crate::install;
use crate::shell::{cargo, root, run, step};

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// What to measure
    bench: Bench,
    /// Arguments for the measurement
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// Containers and the agent's start, against crun, runc and podman
    Runtime,
}

/// Installs the peers, builds, measures; the tables go to standard output.
pub(crate) fn bench(args: &BenchArgs) -> anyhow::Result<()> {
    let Bench::Runtime = args.bench;
    install::packages(install::RUN)?;
    install::packages(&["busybox-static", "crun", "runc", "podman"])?;
    run(cargo().args(["build", "--release", "-p", "gannet-agent", "-p", "gannet-tests-benches"]))?;
    let built = root().join("target/release");
    step("runtime");
    let mut bench = std::process::Command::new(built.join("gannet-tests-benches"));
    run(bench.arg("runtime").arg("--agent").arg(built.join("gannet-agent")).args(&args.rest))
}
