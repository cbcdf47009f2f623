//! The operator's command line: kubectl's words and columns for what a fleet needs, over the hub's Kubernetes API.
//!
//! Every command is a function of a [`Session`] (the API, the namespace) and of its arguments; it prints to the writer
//! that it is given, so `gannet up` and tests read what a person would see.

#![forbid(unsafe_code)]

mod apply;
mod delete;
mod describe;
mod file;
mod get;
mod logs;
mod resource;
mod rollout;
mod scale;
mod session;
mod status;
mod table;
mod three_way;
mod top;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use apply::ApplyArgs;
pub use delete::DeleteArgs;
pub use describe::DescribeArgs;
pub use get::GetArgs;
pub use logs::LogsArgs;
pub use rollout::{RolloutCommand, wait_available};
pub use scale::ScaleArgs;
pub use session::Session;
pub use top::TopCommand;

/// Where the hub is; the same for every command.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The kubeconfig file; else $KUBECONFIG, `~/.kube/config`, or that of `gannet up` on this machine.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
}

/// The commands that talk to a hub.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make objects as files say.
    Apply(ApplyArgs),
    /// List objects, or show one.
    Get(GetArgs),
    /// Show objects in detail, with their events.
    Describe(DescribeArgs),
    /// Delete objects.
    Delete(DeleteArgs),
    /// Print the log of a pod's container.
    Logs(LogsArgs),
    /// Set how many pods a Deployment or ReplicaSet has.
    Scale(ScaleArgs),
    /// Show what nodes or pods use.
    #[command(subcommand)]
    Top(TopCommand),
    /// Look at a rollout, or steer it.
    #[command(subcommand)]
    Rollout(RolloutCommand),
}

/// Runs a command, printing to `out`. Warnings of the hub go to the standard error.
pub async fn run(
    command: &Command,
    connection: &Connection,
    out: &mut (dyn std::io::Write + Send),
) -> anyhow::Result<()> {
    run_in(&Session::open(connection).await?, command, out).await
}

/// Runs a command in a session that is open.
pub async fn run_in(
    session: &Session,
    command: &Command,
    out: &mut (dyn std::io::Write + Send),
) -> anyhow::Result<()> {
    match command {
        Command::Apply(args) => apply::apply(session, args, out).await,
        Command::Get(args) => get::get(session, args, out).await,
        Command::Describe(args) => describe::describe(session, args, out).await,
        Command::Delete(args) => delete::delete(session, args, out).await,
        Command::Logs(args) => logs::logs(session, args, out).await,
        Command::Scale(args) => scale::scale(session, args, out).await,
        Command::Top(command) => top::top(session, command, out).await,
        Command::Rollout(command) => rollout::rollout(session, command, out).await,
    }
}

/// The hub's version, as `/version` says it.
pub async fn server_version(connection: &Connection) -> anyhow::Result<String> {
    let session = Session::open(connection).await?;
    let version = session.get_json("/version").await?;
    Ok(version["gitVersion"].as_str().unwrap_or_default().to_owned())
}
