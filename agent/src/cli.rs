//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Settings;

/// The gannet agent: runs on a gateway what its hub says, with or without the hub.
#[derive(Debug, Parser)]
#[command(name = "gannet-agent", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the agent
    Run(Box<RunArgs>),
    /// List the pods of this node
    Ps(PsArgs),
    /// Print the log of a container
    Logs(LogsArgs),
    /// Check whether this machine can run pods, and say what to do where it cannot
    Doctor(Box<DoctorArgs>),
    /// Print a completion script
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A configuration file: JSON with the names of these flags
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For machines
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DataDir {
    /// The agent's data folder
    #[arg(long, value_name = "DIR", default_value = "/var/lib/gannet")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns
    Table,
    /// Everything, as JSON
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The pod: NAME, NAMESPACE/NAME or its uid
    pub(crate) pod: String,
    /// The container; may be left out where the pod has one
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Go on as the container writes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The run before the last restart
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// Only lines from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) since_time: Option<gannet_protocols_model::Timestamp>,
    /// A time stamp before each line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// At most so many bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) limit_bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// A configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}
