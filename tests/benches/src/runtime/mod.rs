//! `tests/benches/runtime` of the budgets: a container's life, commands, memory a pod, and the agent's start.

mod bundle;
mod life;
mod memory;
pub(crate) mod peer;
mod start;

use std::path::PathBuf;

use clap::Args;

/// What to measure, and how often.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs of each candidate, interleaved
    #[arg(long, default_value_t = 60)]
    runs: usize,
    /// The agent's program
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// Starts of the agent with ten pods in its ledger
    #[arg(long, default_value_t = 10)]
    starts: usize,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(nix::unistd::geteuid().is_root(), "containers need root");
    anyhow::ensure!(options.agent.is_file(), "--agent {} is no file", options.agent.display());
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let dir = tempfile::Builder::new().prefix("gannet-bench-").tempdir()?;
    let rootfs = bundle::rootfs(&dir.path().join("rootfs"))?;
    tokio.block_on(life::measure(options, dir.path(), &rootfs))?;
    tokio.block_on(memory::measure(options, dir.path(), &rootfs))?;
    start::measure(options)
}
