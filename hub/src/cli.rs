//! The command line of `gannet`: the hub, a fleet on one machine, and the operator's commands.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gannet_hub_ctl::Connection;

use crate::settings::HubArgs;
use crate::up::UpArgs;

/// Runs OCI containers on fleets of gateways: the hub, and the operator's commands.
#[derive(Debug, Parser)]
#[command(name = "gannet", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: GannetCommand,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GannetCommand {
    /// Start a hub and agents on this machine, for a first look.
    Up(Box<UpArgs>),
    /// Run a hub.
    Hub(Box<HubArgs>),
    /// Write the identity folder of a gateway, for `gannet-agent run --identity`.
    Identity(IdentityArgs),
    #[command(flatten)]
    Ctl(gannet_hub_ctl::Command),
    /// Print the version of this program, and of the hub where one answers.
    Version,
    /// Print a completion script.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// `gannet identity`.
#[derive(Debug, clap::Args)]
pub(crate) struct IdentityArgs {
    /// The gateway's name.
    pub(crate) node: String,
    /// The hub's data folder.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/gannet")]
    pub(crate) data_dir: PathBuf,
    /// Where the gateway reaches the broker: mqtts://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) mqtt_url: String,
    /// Where the gateway reaches the built-in registry.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) registry: Vec<SocketAddr>,
    /// The folder to write.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
}
