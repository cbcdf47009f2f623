//! `gannet`: the hub and the operator's command line. Wiring alone.

#![forbid(unsafe_code)]

mod brain;
mod cli;
mod documents;
mod follow;
mod hub;
mod ingest;
mod machine;
mod node_figures;
mod node_identity;
mod pod_logs;
mod private_file;
mod publish;
mod registry_server;
mod settings;
mod up;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, GannetCommand};
use crate::hub::Hub;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // More than one provider is linked in; ours is ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads stopped early, as `gannet get pods | head -1` does: no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        GannetCommand::Hub(args) => log("info,openraft=warn,rmqtt=warn", args.json_logs),
        GannetCommand::Up(args) => log("warn,openraft=error,rmqtt=error", args.json_logs()),
        _ => log("error", false),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start tokio")?;
    runtime.block_on(dispatch(cli))
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match cli.command {
        GannetCommand::Up(args) => up::up(*args).await,
        GannetCommand::Hub(args) => serve(&args).await,
        GannetCommand::Identity(args) => {
            anyhow::ensure!(
                args.data_dir.join("pki/ca.crt").is_file(),
                "{} is not a hub's data folder: it has no pki/ca.crt; name the folder of gannet hub with --data-dir",
                args.data_dir.display()
            );
            let authority = gannet_hub_pki::Authority::open_or_create(&args.data_dir, hub::now())?;
            let node = args.node.parse()?;
            node_identity::write_identity(&authority, &node, &args.mqtt_url, &args.registry, &args.output)?;
            writeln!(out, "identity of {node} written to {}", args.output.display()).map_err(Into::into)
        }
        GannetCommand::Ctl(command) => gannet_hub_ctl::run(&command, &cli.connection, &mut out).await,
        GannetCommand::Version => {
            writeln!(out, "gannet {}", env!("CARGO_PKG_VERSION"))?;
            match gannet_hub_ctl::server_version(&cli.connection).await {
                Ok(version) => writeln!(out, "hub {version}")?,
                Err(error) => writeln!(out, "hub: not reached ({error:#})")?,
            }
            Ok(())
        }
        GannetCommand::Completion { shell } => {
            // Into memory first: whoever reads may stop early, and that is no failure.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gannet", &mut script);
            out.write_all(&script).map_err(Into::into)
        }
    }
}

async fn serve(args: &settings::HubArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hub = Hub::start(args).await?;
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        error = hub.failed() => Err(error),
    };
    hub.stop().await;
    outcome
}

fn log(default: &str, json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let pipe = |e: &(dyn std::error::Error + 'static)| {
        e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    error.chain().any(pipe)
}
