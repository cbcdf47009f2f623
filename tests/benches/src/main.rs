//! Measurements against peers, in the same run on the same machine. `cargo xtask bench runtime` builds and runs them; what
//! they print goes to `BENCHMARKS.md`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "what is printed is the result")]

mod figure;
mod runtime;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Containers: their life, commands in them, memory, and the start of an agent.
    Runtime(runtime::Options),
    /// Serves `crun` and others from a mount namespace without the v2 hierarchy; used by `runtime` itself.
    #[command(hide = true)]
    Peer {
        /// The program and its fixed arguments; each line of standard input is split into further ones.
        command: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Args::parse().bench {
        Bench::Runtime(options) => runtime::run(&options),
        Bench::Peer { command } => runtime::peer::serve(&command),
    }
}
