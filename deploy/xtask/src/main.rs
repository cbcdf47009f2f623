//! The project's own commands: `cargo xtask up`, `test`, `bench`, `tidy`.

#![forbid(unsafe_code)]

mod bench;
mod install;
mod machine;
mod shell;
mod test;
mod test_v2;
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
    /// Run the tests of containers in a virtual machine that has cgroup v2 alone.
    TestV2 {
        /// Parts of the names of those to run; all where there is none.
        tests: Vec<String>,
    },
    /// Build in release mode, and measure against peers.
    Bench(bench::BenchArgs),
    /// Check the arrows between crates, the size of files and the workspace's lints.
    Tidy,
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Up(args) => up::up(&args),
        Task::Test => test::test(),
        Task::TestV2 { tests } => test_v2::test_v2(&tests),
        Task::Bench(args) => bench::bench(&args),
        Task::Tidy => tidy::tidy(&shell::root()),
    }
}
