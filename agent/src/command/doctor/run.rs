//! Runs the checks and prints what came of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::finding::{Findings, wrong};
use super::{certificate, cgroups, disk, hub, kernel, machine, network};
use crate::cli::{DoctorArgs, Output};
use crate::config::Settings;

/// Checks, prints, and says by its exit code whether pods can run.
pub(crate) fn doctor(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    machine::check(&mut findings);
    kernel::check(&mut findings);
    cgroups::check(&mut findings);
    network::check(&mut findings);
    let data_dir = args.settings.data_dir.clone().unwrap_or_else(|| PathBuf::from("/var/lib/gannet"));
    let file = args.config.as_deref().map(Settings::read).transpose();
    let settings = file.map(|file| args.settings.over(file.unwrap_or_default()));
    match settings.and_then(Settings::check) {
        Ok(config) => {
            kernel::check_users(&mut findings, &config.data_dir);
            disk::check(&mut findings, &config.data_dir);
            certificate::check(&mut findings, &config);
            hub::check(&mut findings, &config);
        }
        Err(error) => {
            kernel::check_users(&mut findings, &data_dir);
            disk::check(&mut findings, Path::new(&data_dir));
            let file = args.config.as_deref().map(|path| format!("{}:", path.display()));
            for problem in error.problems {
                let remedy = match &file {
                    Some(file) if problem.starts_with(file) => "correct the file of --config",
                    _ => {
                        "give it as a flag or in --config; or enrol this node and name the folder with --identity"
                    }
                };
                findings.add("configuration", wrong(problem, remedy));
            }
        }
    }
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&findings)? + "\n",
        Output::Table | Output::Wide => findings.text(),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(if findings.well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
