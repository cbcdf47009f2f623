//! The command line.

use std::path::PathBuf;
use std::time::Duration;

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
    /// Print the log of a container, or of all containers of a pod
    Logs(LogsArgs),
    /// Run a command in a container; ends with its exit code
    Exec(ExecArgs),
    /// Tell all about a pod: states, probes, mounts, events
    Describe(PodArgs),
    /// Show what the node, its pods and their containers use
    Stats(StatsArgs),
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
    /// A configuration file: TOML with the names of these flags (`_` for `-`), and tables of its own
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
    /// More columns
    Wide,
    /// Everything, as JSON
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct PodArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The pod: NAME, NAMESPACE/NAME or the beginning of its uid
    pub(crate) pod: String,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Only this pod: NAME, NAMESPACE/NAME or the beginning of its uid
    pub(crate) pod: Option<String>,
    /// Look again every two seconds
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The pod: NAME, NAMESPACE/NAME or the beginning of its uid
    pub(crate) pod: String,
    /// The container [default: the first]
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Hand the input of this terminal to the command
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// The command, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The pod: NAME, NAMESPACE/NAME or the beginning of its uid
    pub(crate) pod: String,
    /// The container [default: the first]
    #[arg(short, long, conflicts_with = "all_containers")]
    pub(crate) container: Option<String>,
    /// The logs of all containers
    #[arg(long)]
    pub(crate) all_containers: bool,
    /// Where each line comes from, before it
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Go on as the container writes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The run before the last restart
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// Only lines of the last so long, as 90s, 5m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "since_time")]
    pub(crate) since: Option<Duration>,
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
    /// A configuration file: TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// A duration as `90s`, `5m`, `2h`, `1h30m`, or a plain number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: use 90s, 5m, 2h or 1h30m");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..end].parse().map_err(|_| wrong())?;
        let unit = rest[end..].chars().next().ok_or_else(wrong)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(factor).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[end + unit.len_utf8()..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn durations() {
        let good = [("90", 90), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1d1s", 86_401), ("0", 0)];
        for (text, seconds) in good {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "s", "5", "5x", "-1s", "1.5h", "5m3", "99999999999999999999h", "9223372036854775807d", "5µ"]
        {
            assert_eq!(duration(text).is_err(), text != "5", "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let parse = |words: &[&str]| Cli::try_parse_from([&["gannet-agent"], words].concat()).is_ok();
        assert!(parse(&["exec", "-it", "web", "-c", "main", "--", "sh", "-c", "x"]));
        assert!(!parse(&["exec", "web"]), "a command is needed");
        assert!(!parse(&["logs", "web", "-c", "x", "--all-containers"]));
        assert!(!parse(&["logs", "web", "--since", "5m", "--since-time", "2026-01-01T00:00:00Z"]));
    }
}
