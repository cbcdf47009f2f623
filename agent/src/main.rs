//! `gannet-agent`: the gateway daemon. Wiring alone; what is decided is decided in `gannet-agent-core`.

mod adopt;
mod app;
mod cli;
mod clock;
mod command;
mod config;
mod control;
mod data_folder;
mod devices;
mod executor;
mod housekeeping;
mod layout;
mod ledger;
mod link_task;
mod logs;
mod memory;
mod network;
mod node_info;
mod open;
mod persist;
mod pressure;
mod reconcile_task;
mod reserve;
mod rollback;
mod room;
#[cfg(test)]
mod sample;
mod tls;
mod usage;
mod watchdog;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    // Before anything else: the zygote must have one thread for all its life.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == "zygote") {
        // What bounds the agent is not for containers.
        memory::unlimit();
        return match gannet_agent_shim::control_from_stdin() {
            Ok(control) => gannet_agent_shim::zygote_main(control),
            Err(_) => ExitCode::FAILURE,
        };
    }
    let outcome = match Cli::parse().command {
        Command::Run(args) => app::run(*args).map(|()| ExitCode::SUCCESS),
        Command::Ps(args) => command::ps(&args).map(|()| ExitCode::SUCCESS),
        Command::Logs(args) => command::logs(&args).map(|()| ExitCode::SUCCESS),
        Command::Exec(args) => command::exec(&args),
        Command::Describe(args) => command::describe(&args).map(|()| ExitCode::SUCCESS),
        Command::Stats(args) => command::stats(&args).map(|()| ExitCode::SUCCESS),
        Command::Doctor(args) => command::doctor(*args),
        Command::Completion { shell } => {
            // Into memory first: whoever reads may stop early, and that is no failure.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gannet-agent", &mut script);
            let _ = std::io::stdout().write_all(&script);
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
