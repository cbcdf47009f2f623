//! Tries things where they leave no trace: in namespaces that end with the try.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// What came of a program.
#[derive(Debug)]
pub(super) enum Tried {
    Worked,
    /// What it said.
    Failed(String),
    /// It could not be started.
    Missing(io::Error),
}

/// Runs a program with this input.
pub(super) fn run(program: &str, args: &[&str], input: &str) -> Tried {
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Tried::Missing(error),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended early says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    match child.wait_with_output() {
        Ok(output) if output.status.success() => Tried::Worked,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            Tried::Failed(first.trim().to_owned())
        }
        Err(error) => Tried::Missing(error),
    }
}

/// Runs a program in a network namespace of its own.
pub(super) fn run_apart(args: &[&str], input: &str) -> Tried {
    run("unshare", &[&["-n"], args].concat(), input)
}
