//! The project's own commands: `cargo xtask up`, `cargo xtask test`, `cargo xtask tidy`.

#![forbid(unsafe_code)]

mod install;
mod shell;
mod test;
mod tidy;
mod up;

use clap::{Parser, Subcommand};

/// Builds, runs and checks gannet.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, build, and start a hub and an agent on this machine with an example.
    Up(up::UpArgs),
    /// Install what the tests need, then run everything that CI checks.
    Test,
    /// Check the arrows between crates, the size of files and the workspace's lints.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Up(args) => up::up(&args),
        Task::Test => test::test(),
        Task::Tidy => tidy::tidy(&shell::root()),
    }
}
